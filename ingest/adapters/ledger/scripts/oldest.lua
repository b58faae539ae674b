-- KEYS: sorted set
-- ARGV:
-- Returns the lowest score as a whole number, or nil.
-- One script, only to print the score without an exponent.
-- Include: clock
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
return first and whole(tonumber(first))
