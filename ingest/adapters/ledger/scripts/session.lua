-- KEYS: sessions, ends, names
-- ARGV: digest, milliseconds without use after which it ends from now on; 0 if this is no use
-- Returns the session, or false if it is not there or has ended. The end is moved when that makes a difference of a
-- sixtieth, so that few of many uses write, and after the clock was set back.
-- Atomic, because it could be replaced in between.
-- Include: clock, sessions
local now, idle = milliseconds(), tonumber(ARGV[2])
local limit, session, ends = find(ARGV[1], now)
if not limit then
  return false
end
if idle > 0 then
  local moved = math.min(limit, now + idle)
  if moved < ends or moved - ends >= idle / 60 then
    redis.pcall('ZADD', KEYS[2], 'XX', whole(moved), ARGV[1]) -- a server that is out of memory rejects it
  end
end
return session
