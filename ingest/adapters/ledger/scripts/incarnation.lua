-- KEYS: incarnation
-- ARGV: run id, new id
-- Returns the id of this incarnation of the ledger's data.
-- Atomic, because two workers that meet a restarted server at the same time must not give it two ids: mailboxes that
-- were rebuilt under the first one would be rebuilt again.
local known = redis.call('HMGET', KEYS[1], 'run', 'id', 'closed')
local run, id, closed = known[1], known[2], known[3]
if run == ARGV[1] then
  return id
end
if not run or closed ~= run then
  -- A crash or a failover: the last second of writes may be missing. A server that was closed in order lost nothing.
  id = ARGV[2]
end
redis.call('HSET', KEYS[1], 'run', ARGV[1], 'id', id)
redis.call('HDEL', KEYS[1], 'closed')
return id
