-- KEYS: fences, tries, open
-- ARGV: message key, fence, tries
-- Returns the open message as JSON, false if the message is not open, or -1 if the claim is stale.
-- Atomic, because a worker whose claim expires after the check would change the count of its successor.
-- Include: claims, begin_open
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end
return begin_open(KEYS[2], KEYS[3], ARGV[1], ARGV[3])
