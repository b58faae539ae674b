-- KEYS: due, claimed, fences, tries of messages; open, open since, failed; undone of the mailbox; events; changes.
-- ARGV: key, fence; id, type, mailbox, body of the event; milliseconds of first sight; JSON when the message failed.
-- The event goes first: were this to break off, it would be told twice, with the same id, never not at all.
if not holds(KEYS[3], ARGV[1], ARGV[2]) then
  return -1
end
redis.call(
  'XADD', KEYS[9], '*',
  'id', ARGV[3], 'type', ARGV[4], 'mailbox', ARGV[5], 'body', ARGV[6], 'first_seen', ARGV[7]
)
if ARGV[8] ~= '' then
  redis.call('HSET', KEYS[7], ARGV[1], ARGV[8])
else
  redis.call('HDEL', KEYS[8], ARGV[1])
  redis.call('HINCRBY', KEYS[10], ARGV[5], 1)
end
redis.call('HDEL', KEYS[5], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])
forget(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1])
return 1
