-- Counts what is in each queue, at one moment.
-- ARGV: queues. Returns per queue: waiting, in flight, delayed, dead, bytes.
local counts = {}
for _, queue in ipairs(ARGV) do
  local waiting = redis.call("llen", key(queue))
  table.insert(counts, waiting)
  table.insert(counts, redis.call("hlen", key(queue .. ".msgs")) - waiting)
  table.insert(counts, redis.call("hlen", key(queue .. ".DQ.msgs")))
  table.insert(counts, redis.call("zcard", key(queue .. ".XQ")))
  table.insert(counts, tonumber(redis.call("hget", key("__bytes__"), queue) or 0))
end
return counts
