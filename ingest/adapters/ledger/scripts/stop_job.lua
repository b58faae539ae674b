-- KEYS: jobs
-- ARGV: job, milliseconds after which all are forgotten
-- Returns 1, or 0 if the job is not active.
-- Atomic, because a server that is out of memory takes the order only after another write: PEXPIRE, as in `report_job`.
-- Include: clock
local ends = tonumber(redis.call('HGET', KEYS[1], 'until') or '0')
if redis.call('HGET', KEYS[1], 'active') ~= ARGV[1] or ends <= milliseconds() then
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[1], 'stop', ARGV[1])
return 1
