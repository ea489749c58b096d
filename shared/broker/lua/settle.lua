-- Ends a worker's hold on messages. Ids that are no longer the worker's are left alone: another one has them.
-- ARGV: worker, operation, queue, then per message: id, run id or "", number of fields, fields "STAGE/SHA256",
--       detail, bytes or "" for unchanged
-- Operations: ack     done: forget it
--             front   back to the front of its queue
--             back    back to the end of its queue
--             delay   not before `detail` ms from now
--             bury    dead, with `detail` as its evidence
-- Returns how many were the worker's.
local worker, operation, queue = ARGV[1], ARGV[2], ARGV[3]
local msgs, delayed = key(queue .. ".msgs"), key(queue .. ".DQ.msgs")
local acks = acks_of(worker, queue)
local settled = 0
local bytes = 0
local i = 4
while i <= #ARGV do
  local id, run, fields = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local detail, data = ARGV[i + 3 + fields], ARGV[i + 4 + fields]
  if redis.call("srem", acks, id) == 1 and redis.call("hexists", msgs, id) == 1 then
    settled = settled + 1
    if operation == "ack" then
      bytes = bytes - redis.call("hstrlen", msgs, id)
      redis.call("hdel", msgs, id)
      for field = i + 3, i + 2 + fields do
        redis.call("hdel", key("__run__." .. run), entry_of(ARGV[field], queue, id))
      end
    else
      if data ~= "" then
        bytes = bytes + #data - redis.call("hstrlen", msgs, id)
        redis.call("hset", msgs, id, data)
      end
      if operation == "front" or operation == "back" then
        push(queue, id, operation == "front")
      elseif operation == "delay" then
        redis.call("hset", delayed, id, redis.call("hget", msgs, id))
        redis.call("hdel", msgs, id)
        delay_until(queue, id, now_ms() + tonumber(detail))
      elseif operation == "bury" then
        bytes = bytes - redis.call("hstrlen", msgs, id)
        redis.call("zadd", key(queue .. ".XQ"), now_ms() + CENTURY_MS, id)
        redis.call("hset", key(queue .. ".XQ.msgs"), id, redis.call("hget", msgs, id))
        redis.call("hset", key(queue .. ".XQ.evidence"), id, detail)
        redis.call("hdel", msgs, id)
      end
    end
    if operation == "ack" or operation == "bury" then
      redis.call("hdel", key(queue .. ".suspects"), id)
    end
  end
  i = i + 5 + fields
end
count_bytes(queue, bytes)
if redis.call("exists", msgs, delayed) == 0 then
  -- Messages that a stock producer sent were never counted in.
  redis.call("hdel", key("__bytes__"), queue)
end
return settled
