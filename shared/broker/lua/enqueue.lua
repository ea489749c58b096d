-- Adds messages, all or (at the memory limit) none. Sending the same ids again changes nothing.
-- ARGV: per message: queue, id, bytes, delay in ms or "", run id or "", number of fields, fields "STAGE/SHA256"
local bytes_by_queue = {}
local i = 1
while i <= #ARGV do
  local queue, id, data, delay, run, fields = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], tonumber(ARGV[i + 5])
  i = i + 6
  local holder = delay == "" and queue or queue .. ".DQ"
  if redis.call("hsetnx", key(holder .. ".msgs"), id, data) == 1 then
    bytes_by_queue[queue] = (bytes_by_queue[queue] or 0) + #data
    for field = i, i + fields - 1 do
      redis.call("hset", key("__run__." .. run), entry_of(ARGV[field], queue, id), "")
    end
    if delay == "" then
      push(queue, id)
    else
      delay_until(queue, id, now_ms() + tonumber(delay))
    end
  end
  i = i + fields
end
for queue, bytes in pairs(bytes_by_queue) do
  count_bytes(queue, bytes)
end
