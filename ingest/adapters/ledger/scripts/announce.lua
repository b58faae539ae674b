-- KEYS: configuration
-- ARGV: digest, epoch or 0, silence in milliseconds
-- Returns the epoch of this configuration, and 1 if no newer one is in use.
-- The configuration is a hash of the newest one in use: epoch, digest, announced (milliseconds); and the last epoch
-- that was given out.
-- Atomic, because two schedulers that start at the same time would take the same epoch, and would then undo each
-- other's schedule every second.
-- Include: spare, clock
local state = redis.call('HMGET', KEYS[1], 'epoch', 'digest', 'announced', 'last')
local newest, own, now = tonumber(state[1] or '0'), tonumber(ARGV[2]), milliseconds()
if state[2] == ARGV[1] then
  own = math.max(own, newest)
end
if own == 0 then
  -- The clock raises it above all that were given out before the ledger was lost.
  own = math.max(tonumber(state[4] or '0') + 1, microseconds())
  redis.call('HSET', KEYS[1], 'last', whole(own))
end
local silent = math.abs(now - tonumber(state[3] or '0')) > tonumber(ARGV[3])
if own < newest and not silent then
  return { whole(own), 0 }
end
redis.call('HSET', KEYS[1], 'epoch', whole(own), 'digest', ARGV[1], 'announced', whole(now))
return { whole(own), 1 }
