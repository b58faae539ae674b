-- KEYS: jobs
-- ARGV: job, body, lease in milliseconds, how many are kept, milliseconds after which all are forgotten
-- Returns 1, or 0 if another job is active.
-- Atomic, because two processes that look at the same time would both begin.
-- Include: clock
local now, lease = milliseconds(), tonumber(ARGV[3])
local left = tonumber(redis.call('HGET', KEYS[1], 'until') or '0') - now
-- A lease that ends later than a new one would was written before the clock was set back: who holds it renews it.
if left > 0 and left <= lease then
  return 0
end
redis.call('HDEL', KEYS[1], 'stop')
redis.call('HSET', KEYS[1], 'active', ARGV[1], 'until', whole(now + lease), ARGV[1], ARGV[2])
local ids = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  -- Not this one, which sorts first if the clock of another console was ahead.
  if field ~= 'active' and field ~= 'until' and field ~= ARGV[1] then
    ids[#ids + 1] = field
  end
end
table.sort(ids)
for i = 1, #ids + 1 - tonumber(ARGV[4]) do
  redis.call('HDEL', KEYS[1], ids[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
