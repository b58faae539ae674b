-- KEYS: mailbox fences, events, counts
-- ARGV: mailbox, fence, (id, type, mailbox, body)...
-- Returns 1, or -1 if the claim is stale.
-- Atomic, because a worker whose claim expires after the check would publish the events that its successor publishes.
-- Include: claims
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end
for i = 3, #ARGV, 4 do
  redis.call('XADD', KEYS[2], '*', 'id', ARGV[i], 'type', ARGV[i + 1], 'mailbox', ARGV[i + 2], 'body', ARGV[i + 3])
end
redis.call('HINCRBY', KEYS[3], 'events', (#ARGV - 2) / 4)
return 1
