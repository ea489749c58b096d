-- Says that a worker lives, and takes over what dead workers held. Taken-over messages go to the end of their
-- queue as suspects: only a death during a run alone counts against one.
-- ARGV: worker, ms after which a silent worker is dead, 1 or 0 for who may judge nobody yet, announcement or "",
--       ms until it expires
-- Returns per takeover: dead worker, queue, number of messages.
local worker, timeout_ms, may_judge, announcement = ARGV[1], tonumber(ARGV[2]), ARGV[3] == "1", ARGV[4]
local heartbeats = key("__heartbeats__")
redis.call("zrem", heartbeats, "")
local now = now_ms()
redis.call("zadd", heartbeats, now, worker)
if announcement ~= "" then
  redis.call("set", key("__worker__." .. worker), announcement, "px", ARGV[5])
  redis.call("sadd", key("__workers__"), worker)
end
local takeovers = {}
if not may_judge then
  return takeovers
end
for _, dead in ipairs(redis.call("zrangebyscore", heartbeats, "-inf", now - timeout_ms)) do
  local alone = redis.call("get", key("__alone__." .. dead))
  for _, queue in ipairs(redis.call("smembers", key("__queues__"))) do
    local taken = 0
    for _, id in ipairs(redis.call("smembers", acks_of(dead, queue))) do
      if redis.call("hexists", key(queue .. ".msgs"), id) == 1 then
        local deaths = alone == queue .. " " .. id and 1 or 0
        redis.call("hincrby", key(queue .. ".suspects"), id, deaths)
        push(queue, id)
        taken = taken + 1
      end
    end
    redis.call("del", acks_of(dead, queue))
    if taken > 0 then
      table.insert(takeovers, dead)
      table.insert(takeovers, queue)
      table.insert(takeovers, taken)
    end
  end
  redis.call("zrem", heartbeats, dead)
  redis.call("del", key("__alone__." .. dead))
end
return takeovers
