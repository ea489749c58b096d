-- Notes which suspect a worker runs alone from now on.
-- ARGV: worker, "Q id" or "" for none.
redis.call("del", key("__alone__." .. ARGV[1]))
if ARGV[2] ~= "" then
  redis.call("set", key("__alone__." .. ARGV[1]), ARGV[2])
end
