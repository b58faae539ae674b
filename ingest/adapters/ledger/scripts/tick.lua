-- KEYS: last tick, clock step, latest time, sorted set of due times or deadlines...
-- ARGV:
-- Records the time of a tick. If the clock was set back since the last one, or since a claim after it, all times to come move with it: otherwise
-- nothing would be due until the clock has caught up. The times that the clock shows twice are recorded.
-- Returns the time to which the clock was set back, in milliseconds, or nil.
-- Atomic, because two schedulers that notice the same step would both move the times.
-- Include: spare, clock
local micros, now = microseconds(), milliseconds()
local last = math.max(
  math.floor(tonumber(redis.call('GET', KEYS[1]) or '0') * 1000), tonumber(redis.call('GET', KEYS[3]) or '0')
)
local back = last - now
redis.call('SET', KEYS[1], string.format('%d.%06d', math.floor(micros / 1000000), micros % 1000000))
redis.call('SET', KEYS[3], whole(now))
if back > 1000 then
  local known = redis.call('HMGET', KEYS[2], 'earliest', 'latest')
  redis.call(
    'HSET', KEYS[2],
    'earliest', whole(math.min(now, tonumber(known[1]) or now)),
    'latest', whole(math.max(last, tonumber(known[2]) or last))
  )
  for i = 4, #KEYS do
    local later = redis.call('ZRANGEBYSCORE', KEYS[i], '(' .. whole(now), '+inf', 'WITHSCORES')
    for j = 1, #later, 2 do
      redis.call('ZADD', KEYS[i], whole(math.max(now, tonumber(later[j + 1]) - back)), later[j])
    end
  end
  return whole(now)
end
return nil
