-- KEYS: sessions, ends, names
-- ARGV: digests...
-- Returns those of them whose sessions are not there or have ended.
-- Atomic, because a session is there only while all keys have it.
-- Include: clock, sessions
local now, ended = milliseconds(), {}
for _, digest in ipairs(ARGV) do
  if not find(digest, now) then
    table.insert(ended, digest)
  end
end
return ended
