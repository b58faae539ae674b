-- KEYS: sessions, ends, names, logouts
-- ARGV: logout, milliseconds for which it is remembered, how many are remembered, names...
-- Returns how many sessions were ended; -1 if the same logout has ended them before.
-- Atomic, because a session that begins in between would go on, or end when the logout is repeated.
-- Include: clock, sessions
local now, ended = milliseconds(), 0
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', whole(now))
if redis.call('ZSCORE', KEYS[4], ARGV[1]) then
  return -1
end
for _, name in ipairs({unpack(ARGV, 4)}) do
  for _, digest in ipairs(digests_of(name)) do
    if find(digest, now) then
      ended = ended + 1
    end
    remove(digest)
    redis.call('ZREM', KEYS[3], name .. ':' .. digest) -- also if nothing else was left of it
  end
end
redis.pcall('ZADD', KEYS[4], whole(now + tonumber(ARGV[2])), ARGV[1]) -- a server that is out of memory rejects it
redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -1 - tonumber(ARGV[3]))
redis.call('PEXPIRE', KEYS[4], ARGV[2])
return ended
