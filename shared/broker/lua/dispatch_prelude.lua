-- Stands in front of Dramatiq's own dispatch script, which serves its rarer commands (see there for ARGV).
-- Its heartbeats get Redis' clock instead of the client's, and its dead-letter expiry the century of keys.lua;
-- at the memory limit it may work, since a write that can't grow comes first.
if ARGV[1] ~= "enqueue" then
  redis.call("zrem", KEYS[1] .. ":__heartbeats__", "")
end
do
  local time = redis.call("time")
  ARGV[2] = string.format("%.0f", time[1] * 1000 + math.floor(time[2] / 1000))
  ARGV[6] = string.format("%.0f", ARGV[6] - 3155760000000)
end
