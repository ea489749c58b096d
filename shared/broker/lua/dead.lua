-- Reads dead messages, oldest first.
-- ARGV: queue, how many to pass over, how many to read. Returns per message: id, ms of burial, bytes, evidence or "".
local queue, offset, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local dead = {}
local entries = redis.call("zrange", key(queue .. ".XQ"), offset, offset + limit - 1, "withscores")
for i = 1, #entries, 2 do
  local id, buried = entries[i], tonumber(entries[i + 1])
  if buried > CENTURY_MS then
    buried = buried - CENTURY_MS
  end
  table.insert(dead, id)
  table.insert(dead, string.format("%.0f", buried))
  table.insert(dead, redis.call("hget", key(queue .. ".XQ.msgs"), id) or "")
  table.insert(dead, redis.call("hget", key(queue .. ".XQ.evidence"), id) or "")
end
return dead
