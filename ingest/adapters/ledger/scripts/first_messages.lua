-- KEYS: state, generations...
-- ARGV: milliseconds until a generation is followed by another, milliseconds that it is kept, most digests of a
-- generation, (digest, message key)...
-- Returns the key of the first message for each digest.
-- Atomic, because two messages with the same content that are processed at once must not both be the first, nor each
-- the duplicate of the other.
-- Include: clock
local now, count = milliseconds(), #KEYS - 1
local state = redis.call('HMGET', KEYS[1], 'generation', 'since')
local generation, since = tonumber(state[1] or '0'), tonumber(state[2] or '0')
if now - since >= tonumber(ARGV[1]) or redis.call('HLEN', KEYS[2 + generation]) >= tonumber(ARGV[3]) then
  generation = (generation + 1) % count
  redis.call('DEL', KEYS[2 + generation])
  redis.call('HSET', KEYS[1], 'generation', generation, 'since', whole(now))
end
local newest, firsts = KEYS[2 + generation], {}
for i = 4, #ARGV, 2 do
  local first
  for g = 2, #KEYS do
    first = first or redis.call('HGET', KEYS[g], ARGV[i])
  end
  if not first then
    first = ARGV[i + 1]
    redis.call('HSET', newest, ARGV[i], first)
  end
  firsts[#firsts + 1] = first
end
if redis.call('PTTL', newest) == -1 then
  redis.call('PEXPIRE', newest, ARGV[2])
end
return firsts
