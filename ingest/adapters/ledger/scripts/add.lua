-- KEYS: due, claimed
-- ARGV: id...
-- Returns how many items are new.
-- Atomic, because an item that somebody claims between the look and the ZADD would be due and claimed at once, and
-- two workers would process it.
-- Include: spare, claims
local now, added = whole(milliseconds()), 0
for _, id in ipairs(ARGV) do
  if not knows(KEYS[1], KEYS[2], id) then
    redis.call('ZADD', KEYS[1], now, id)
    added = added + 1
  end
end
return added
