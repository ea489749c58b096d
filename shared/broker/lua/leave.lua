-- Ends a worker in peace: what it still holds goes back to the front of its queue, unsuspected.
-- ARGV: worker. Returns how many messages went back.
local worker = ARGV[1]
local returned = 0
for _, queue in ipairs(redis.call("smembers", key("__queues__"))) do
  local ids = redis.call("smembers", acks_of(worker, queue))
  redis.call("del", acks_of(worker, queue))
  for _, id in ipairs(ids) do
    if redis.call("hexists", key(queue .. ".msgs"), id) == 1 then
      push(queue, id, true)
      returned = returned + 1
    end
  end
end
redis.call("zrem", key("__heartbeats__"), worker)
redis.call("srem", key("__workers__"), worker)
redis.call("del", key("__worker__." .. worker), key("__alone__." .. worker))
return returned
