-- KEYS: jobs
-- ARGV: job, body, lease in milliseconds (0 ends the job), milliseconds after which all are forgotten
-- Returns 1, 2 if the job is asked to stop, or 0 if it is not the active one any more.
-- Atomic, because a job that lost its lease after the check would renew that of its successor.
-- Include: clock
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
-- The first write, which a server that is out of memory takes, and then the others too; as in `spare`, which would let
-- the jobs stay for ever.
redis.call('PEXPIRE', KEYS[1], ARGV[4])
local now, lease = milliseconds(), tonumber(ARGV[3])
local holds = redis.call('HGET', KEYS[1], 'active') == ARGV[1]
local ends = tonumber(redis.call('HGET', KEYS[1], 'until') or '0')
if lease == 0 or (holds and ends > now) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
if not holds or ends <= now then
  return 0
end
redis.call('HSET', KEYS[1], 'until', whole(now + lease))
return redis.call('HGET', KEYS[1], 'stop') == ARGV[1] and 2 or 1
