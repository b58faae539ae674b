-- KEYS: the string of what is throttled
-- ARGV: period in milliseconds
-- Returns 1 if the caller may act, 0 if somebody did within the period. A time that is further away than the period was
-- written before the clock was set back, and counts for nothing.
-- Atomic, because two processes would both find the last period over.
-- Include: clock
local now, period = milliseconds(), tonumber(ARGV[1])
local wait = tonumber(redis.call('GET', KEYS[1]) or '0') - now
if wait > 0 and wait <= period then
  return 0
end
redis.call('SET', KEYS[1], whole(now + period), 'PX', period)
return 1
