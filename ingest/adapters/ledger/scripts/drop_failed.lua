-- KEYS: failed, undone of the mailbox, changes. ARGV: key, mailbox. Returns whether the message was given up.
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HINCRBY', KEYS[3], ARGV[2], 1)
return 1
