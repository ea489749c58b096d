-- Finds the outputs of runs that are waiting, being worked on, delayed, or dead and not filed yet.
-- ARGV: run ids. Returns per output: run, "STAGE/SHA256", queue, id. Entries whose message is gone are dropped.
local found = {}
for _, run in ipairs(ARGV) do
  local entries = redis.call("hgetall", key("__run__." .. run))
  for i = 1, #entries, 2 do
    local queue, id = string.match(entries[i + 1], "^(%S+) (.+)$")
    local present = false
    for _, holder in ipairs({ ".msgs", ".DQ.msgs", ".XQ.msgs" }) do
      present = present or redis.call("hexists", key(queue .. holder), id) == 1
    end
    if present then
      for _, value in ipairs({ run, entries[i], queue, id }) do
        table.insert(found, value)
      end
    else
      redis.call("hdel", key("__run__." .. run), entries[i])
    end
  end
end
return found
