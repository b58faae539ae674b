-- KEYS: fences of mailboxes, seen. ARGV: mailbox, fence, length of what was read, what takes its place.
-- SET, unlike APPEND, takes no more memory than it needs.
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end
if redis.call('STRLEN', KEYS[2]) ~= tonumber(ARGV[3]) then
  return 0
end
if ARGV[4] == '' then
  redis.call('DEL', KEYS[2])
else
  redis.call('SET', KEYS[2], ARGV[4])
end
return 1
