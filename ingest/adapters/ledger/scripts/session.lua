-- KEYS: sessions, when they end
-- ARGV: digest
-- Returns the session, or false if it is not there or has ended.
-- Atomic, because it could be replaced between the two.
-- Include: clock
local ends = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not ends or tonumber(ends) <= milliseconds() then
  return false
end
return redis.call('HGET', KEYS[1], ARGV[1])
