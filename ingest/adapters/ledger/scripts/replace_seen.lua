-- KEYS: fences of mailboxes, seen, changes. ARGV: mailbox, fence, length of what was read, what takes its place.
-- SET, unlike APPEND, takes no more memory than it needs.
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end
if redis.call('STRLEN', KEYS[2]) ~= tonumber(ARGV[3]) then
  return 0
end
redis.call('SET', KEYS[2], ARGV[4])
redis.call('HINCRBY', KEYS[3], ARGV[1], 1)
return 1
