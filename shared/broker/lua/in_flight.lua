-- Finds the outputs of runs that are waiting, being worked on, delayed, or dead and not filed yet.
-- ARGV: run ids. Returns per output and message: run, "STAGE/SHA256", queue, id. Entries whose message is gone are
-- dropped.
local found = {}
for _, run in ipairs(ARGV) do
  for _, entry in ipairs(redis.call("hkeys", key("__run__." .. run))) do
    local field, queue, id = string.match(entry, "^(.+) (%S+) (%S+)$")
    local present = false
    for _, holder in ipairs({ ".msgs", ".DQ.msgs", ".XQ.msgs" }) do
      present = present or redis.call("hexists", key(queue .. holder), id) == 1
    end
    if present then
      for _, value in ipairs({ run, field, queue, id }) do
        table.insert(found, value)
      end
    else
      redis.call("hdel", key("__run__." .. run), entry)
    end
  end
end
return found
