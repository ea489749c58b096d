-- Drops what waits, is worked on or delayed in queues; never what is dead. The in-flight index heals by itself.
-- ARGV: worker, queues.
for i = 2, #ARGV do
  local queue = ARGV[i]
  for _, suffix in ipairs({ "", ".msgs", ".DQ", ".DQ.msgs", ".due", ".suspects" }) do
    redis.call("del", key(queue .. suffix))
  end
  redis.call("del", acks_of(ARGV[1], queue))
  redis.call("hdel", key("__bytes__"), queue)
end
