-- KEYS: sessions, ends, names
-- ARGV: digest, session, milliseconds, milliseconds without use, how many are kept, how many of one user, names...
-- Removes sessions that have ended, and of those that are too many the ones that would end first: never the new one,
-- which would end before others if the clock was set back.
-- Atomic, because two logins at once could end the sessions of both, or keep one too many.
-- Include: clock, sessions
local digest, now = ARGV[1], milliseconds()
local ends, idle = now + tonumber(ARGV[3]), now + tonumber(ARGV[4])
local names = {unpack(ARGV, 7)}
redis.call('HSET', KEYS[1], digest, whole(ends) .. ' ' .. table.concat(names, ' ') .. '\n' .. ARGV[2])
redis.call('ZADD', KEYS[2], whole(math.min(ends, idle)), digest)
for _, name in ipairs(names) do
  redis.call('ZADD', KEYS[3], 0, name .. ':' .. digest)
end
for _, one in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', whole(now), 'LIMIT', 0, 1000)) do
  remove(one)
end
if names[1] then
  local others = {}
  for _, one in ipairs(digests_of(names[1])) do
    if one ~= digest then
      table.insert(others, {digest = one, ends = tonumber(redis.call('ZSCORE', KEYS[2], one) or 0)})
    end
  end
  table.sort(others, function(a, b) return a.ends < b.ends end)
  for index = 1, #others + 1 - tonumber(ARGV[6]) do
    remove(others[index].digest)
    redis.call('ZREM', KEYS[3], names[1] .. ':' .. others[index].digest) -- also if nothing else was left of it
  end
end
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[5])
if over > 0 then
  for _, one in ipairs(redis.call('ZRANGE', KEYS[2], 0, over)) do
    if over > 0 and one ~= digest then
      remove(one)
      over = over - 1
    end
  end
end
return 1
