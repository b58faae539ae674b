-- KEYS: sessions, ends, names
-- ARGV: name
-- Returns how many sessions were ended.
-- Atomic, because a session that begins in between would go on.
-- Include: clock, sessions
local now, ended = milliseconds(), 0
for _, digest in ipairs(digests_of(ARGV[1])) do
  if find(digest, now) then
    ended = ended + 1
  end
  remove(digest)
  redis.call('ZREM', KEYS[3], ARGV[1] .. ':' .. digest) -- also if nothing else was left of it
end
return ended
