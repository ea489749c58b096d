-- Forgets dead messages that are kept elsewhere now.
-- ARGV: queue, then per message: id, run id or "", number of fields, fields "STAGE/SHA256". Returns how many there were.
local queue = ARGV[1]
local forgotten = 0
local i = 2
while i <= #ARGV do
  local id, run, fields = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  forgotten = forgotten + redis.call("zrem", key(queue .. ".XQ"), id)
  redis.call("hdel", key(queue .. ".XQ.msgs"), id)
  redis.call("hdel", key(queue .. ".XQ.evidence"), id)
  for field = i + 3, i + 2 + fields do
    redis.call("hdel", key("__run__." .. run), entry_of(ARGV[field], queue, id))
  end
  i = i + 3 + fields
end
return forgotten
