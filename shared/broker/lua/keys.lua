-- Every Redis key of the broker, and what it holds. This file stands in front of every other script.
-- KEYS[1] is the namespace NS; a queue is Q. Keys marked * are Dramatiq's own, with their meaning unchanged.
--
-- NS:Q                    * list of waiting ids (an id is a `redis_message_id`)
-- NS:Q.msgs               * hash id -> bytes, of what waits and what is being worked on
-- NS:__acks__.WORKER.Q    * set of ids that WORKER (a broker id) has fetched and not settled
-- NS:__heartbeats__       * sorted set WORKER -> when it was last alive, in ms of Redis' clock; no producers
-- NS:Q.DQ.msgs            * hash id -> bytes, of what is delayed
-- NS:Q.DQ                 * list of delayed ids
-- NS:Q.due                  sorted set of the same ids by when they are due, in ms of Redis' clock
-- NS:Q.XQ                 * sorted set of dead ids, by burial in ms of Redis' clock plus a century (see below)
-- NS:Q.XQ.msgs            * hash id -> bytes, exactly as they were sent
-- NS:Q.XQ.evidence          hash id -> JSON object: why it died
-- NS:Q.suspects             hash id -> how often a worker died while it ran this message alone; there is an entry
--                           once a worker died with the message in its hands, started or not
-- NS:__alone__.WORKER       "Q id" of the suspect that WORKER runs alone at this moment
-- NS:__queues__             set of the queues that any worker has fetched from
-- NS:__bytes__              hash Q -> bytes in NS:Q.msgs and NS:Q.DQ.msgs
-- NS:__run__.RUN            hash "STAGE/SHA256 Q id" -> "": the in-flight index; several messages may carry the same
-- NS:__stamp__.RUN.STAGE    the last time stamped, in microseconds; expires
-- NS:__workers__            set of announced workers
-- NS:__worker__.WORKER      JSON of one announced worker; expires
-- NS:__holds__              hash Q -> JSON: who holds the queue, why and since when (shared/broker/holds.py)
-- NS:__phase__              JSON of the change of phase in force (shared/phase/redis_copy.py)
-- NS:__processes__          set of the processes that follow the phase
-- NS:__process__.ID         JSON of one of them; expires (shared/phase/presence.py)
-- NS:__wake__.Q             channel: Q was empty and has something now
--
-- Redis at its memory limit refuses a script at its first command that could grow memory, but only while the
-- script has written nothing. So the scripts that drain begin with a write that can't grow; those that
-- produce don't, and are refused as a whole.

local namespace = KEYS[1]

-- A stock client purges dead letters whose score is older than its own `dead_message_ttl`. A century ahead,
-- none is ever old.
local CENTURY_MS = 3155760000000

local function key(name)
  return namespace .. ":" .. name
end

local function acks_of(worker, queue)
  return key("__acks__." .. worker .. "." .. queue)
end

-- The entry of one message in the in-flight index: each has its own, so that the end of one hides no other.
local function entry_of(field, queue, id)
  return field .. " " .. queue .. " " .. id
end

local function now_ms()
  local time = redis.call("time")
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function wake(queue)
  redis.call("publish", key("__wake__." .. queue), "")
end

-- Adds an id to a queue's list, at the end or in front, and wakes its workers if it was empty.
local function push(queue, id, front)
  if redis.call(front and "lpush" or "rpush", key(queue), id) == 1 then
    wake(queue)
  end
end

local function count_bytes(queue, bytes)
  if bytes ~= 0 then
    redis.call("hincrby", key("__bytes__"), queue, bytes)
  end
end

-- Delays an id whose bytes are already in NS:Q.DQ.msgs, and wakes the delay consumer if it is due first.
local function delay_until(queue, id, due_ms)
  redis.call("rpush", key(queue .. ".DQ"), id)
  redis.call("zadd", key(queue .. ".due"), due_ms, id)
  if redis.call("zrank", key(queue .. ".due"), id) == 0 then
    wake(queue .. ".DQ")
  end
end
