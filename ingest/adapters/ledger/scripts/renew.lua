-- KEYS: claimed, fences. ARGV: id, fence, lease.
if not holds(KEYS[2], ARGV[1], ARGV[2]) then
  return 0
end
redis.call('ZADD', KEYS[1], whole(milliseconds() + tonumber(ARGV[3])), ARGV[1])
return 1
