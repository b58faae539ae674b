-- KEYS: failed, unprocessed, changes, counts, counts of unprocessed messages
-- ARGV: message key, mailbox
-- Returns whether the message was failed.
-- Atomic, because a message that left `failed` alone would stay unprocessed forever: never deleted on the server, and in
-- no checkpoint. A second caller must not count the change again.
-- Include: spare
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('HINCRBY', KEYS[4], 'failed', -1)
redis.call('HINCRBY', KEYS[5], ARGV[2], 0 - redis.call('HDEL', KEYS[2], ARGV[1]))
redis.call('HINCRBY', KEYS[3], ARGV[2], 1)
return 1
