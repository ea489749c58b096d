-- Gives a time that is later than any given before for the same run and stage.
-- ARGV: run, stage, seconds to remember, a time given elsewhere that it must be later than (0: none).
-- Returns microseconds since 1970 as text.
local time = redis.call("time")
local stamp = time[1] * 1000000 + time[2]
local name = key("__stamp__." .. ARGV[1] .. "." .. ARGV[2])
local last = math.max(tonumber(redis.call("get", name) or 0), tonumber(ARGV[4]))
if stamp <= last then
  stamp = last + 1
end
local text = string.format("%.0f", stamp)
redis.call("set", name, text, "ex", ARGV[3])
return text
