-- Hands messages to a worker, until `count` or `max_bytes` is reached.
-- ARGV: worker, queue, count, max_bytes. Returns per message: id, bytes, deaths alone or "" for no suspect.
local worker, queue, count, max_bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local fetched = {}
local bytes = 0
local any_suspects = redis.call("exists", key(queue .. ".suspects")) == 1
while #fetched < count * 3 and bytes < max_bytes do
  local id = redis.call("lpop", key(queue))
  if not id then
    break
  end
  local data = redis.call("hget", key(queue .. ".msgs"), id)
  if data then
    redis.call("sadd", acks_of(worker, queue), id)
    bytes = bytes + #data
    table.insert(fetched, id)
    table.insert(fetched, data)
    table.insert(fetched, any_suspects and redis.call("hget", key(queue .. ".suspects"), id) or "")
  end
end
if #fetched > 0 then
  -- Without these a worker that dies before its first beat would keep its messages for good.
  redis.call("zadd", key("__heartbeats__"), now_ms(), worker)
  redis.call("sadd", key("__queues__"), queue)
end
return fetched
