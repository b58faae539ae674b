-- KEYS: due, claimed, fences, tries, open, open since, failed, unprocessed, events, changes, counts,
-- counts of unprocessed messages
-- ARGV: message key, fence, event id, event type, mailbox, event body, first seen in milliseconds, JSON if it failed
-- Returns 1, or -1 if the claim is stale.
-- Atomic, because a message that is closed without its event would never be published, and an event without the
-- message being closed would be published once more for every further attempt. Redis does not undo a script that
-- fails halfway, so the event is appended first: at worst it is repeated, with the same id.
-- Include: claims
if not holds(KEYS[3], ARGV[1], ARGV[2]) then
  return -1
end
redis.call(
  'XADD', KEYS[9], '*',
  'id', ARGV[3], 'type', ARGV[4], 'mailbox', ARGV[5], 'body', ARGV[6], 'first_seen', ARGV[7]
)
redis.call('HINCRBY', KEYS[11], 'events', 1)
if ARGV[8] ~= '' then
  redis.call('HINCRBY', KEYS[11], 'failed', redis.call('HSET', KEYS[7], ARGV[1], ARGV[8]))
else
  redis.call('HINCRBY', KEYS[12], ARGV[5], 0 - redis.call('HDEL', KEYS[8], ARGV[1]))
  redis.call('HINCRBY', KEYS[10], ARGV[5], 1)
end
redis.call('HINCRBY', KEYS[11], 'open', 0 - redis.call('HDEL', KEYS[5], ARGV[1]))
redis.call('ZREM', KEYS[6], ARGV[1])
forget(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1])
return 1
