-- KEYS: mailbox fences, events, counts, clock step
-- ARGV: mailbox, fence, time of the oldest manifest in ms, (id, type, mailbox, body)...
-- Returns 1, or -1 if the claim is stale.
-- Atomic, because a worker whose claim expires after the check would publish the events that its successor publishes.
-- The time of the oldest manifest is recorded with the events.
-- Include: claims, republished
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end
if #ARGV == 3 then
  return 1
end
note_republished(KEYS[4], tonumber(ARGV[3]))
for i = 4, #ARGV, 4 do
  redis.call('XADD', KEYS[2], '*', 'id', ARGV[i], 'type', ARGV[i + 1], 'mailbox', ARGV[i + 2], 'body', ARGV[i + 3])
end
redis.call('HINCRBY', KEYS[3], 'events', (#ARGV - 3) / 4)
return 1
