-- Events that are appended again.
-- Include: clock

-- Record the time from the oldest manifest (`since`, in ms) until now: the stream shows the events as appended now, and
-- a watermark must not pass their manifests before they are delivered.
local function note_republished(clock_step, since)
  local now = milliseconds()
  local known = redis.call('HMGET', clock_step, 'earliest', 'latest')
  redis.call(
    'HSET', clock_step,
    'earliest', whole(math.min(since, now, tonumber(known[1]) or now)),
    'latest', whole(math.max(now, tonumber(known[2]) or now))
  )
end
