-- Moves delayed messages that are due to their queue.
-- ARGV: queue, most to move. Returns ms until the next one is due, 0 where more are due now, -1 where none is left.
local queue, limit = ARGV[1], tonumber(ARGV[2])
local list, due, delayed = key(queue .. ".DQ"), key(queue .. ".due"), key(queue .. ".DQ.msgs")
redis.call("zrem", due, "")
local now = now_ms()
local ids = redis.call("zrangebyscore", due, "-inf", now, "limit", 0, limit)
for _, id in ipairs(ids) do
  redis.call("zrem", due, id)
  local data = redis.call("hget", delayed, id)
  if redis.call("lrem", list, 1, id) == 1 and data then
    redis.call("hset", key(queue .. ".msgs"), id, data)
    redis.call("hdel", delayed, id)
    push(queue, id)
  end
end
if redis.call("llen", list) > redis.call("zcard", due) then
  -- A stock producer delayed some. Its time is inside the bytes: the consumer reads it and delays again.
  for _, id in ipairs(redis.call("lrange", list, 0, -1)) do
    if not redis.call("zscore", due, id) then
      redis.call("zadd", due, now, id)
    end
  end
end
local next_due = redis.call("zrange", due, 0, 0, "withscores")
if #next_due == 0 then
  return -1
end
return math.max(0, tonumber(next_due[2]) - now)
