-- KEYS: configuration, due, claimed, fences, tries
-- ARGV: epoch, how many ids to drop, id to drop..., id to add...
-- Returns 1, or 0 if there is a newer epoch.
-- Atomic, because a scheduler that is overtaken by a newer one after the check would undo what that one did.
-- Include: spare, claims
if tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') > tonumber(ARGV[1]) then
  return 0
end
local now, first_added = whole(milliseconds()), 3 + tonumber(ARGV[2])
for i = 3, #ARGV do
  if i < first_added then
    forget(KEYS[2], KEYS[3], KEYS[4], KEYS[5], ARGV[i])
  elseif not knows(KEYS[2], KEYS[3], ARGV[i]) then
    redis.call('ZADD', KEYS[2], now, ARGV[i])
  end
end
return 1
