-- KEYS: a sorted set. Returns its lowest score, or nil.
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
return first and whole(tonumber(first))
