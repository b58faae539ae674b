-- KEYS: state, claimed, fences, latest time, generations...
-- ARGV: span in ms, ms it is kept, digests per generation, message or '', fence, lease in ms, (digest, message key)...
-- A generation is followed by another after its span, or when it is full. The claim on the message is renewed.
-- Returns the key of the first message for each digest, or false if the claim is stale.
-- Atomic, because two messages with the same content that are processed at once must not both be the first, nor each
-- the duplicate of the other.
-- Include: claims
local now, count, base = milliseconds(), #KEYS - 4, 5
if ARGV[4] ~= '' then
  if not holds(KEYS[3], ARGV[4], ARGV[5]) then
    return false
  end
  note_time(KEYS[4], now)
  redis.call('ZADD', KEYS[2], whole(now + tonumber(ARGV[6])), ARGV[4])
end
local state = redis.call('HMGET', KEYS[1], 'generation', 'since')
local generation, since = tonumber(state[1] or '0'), tonumber(state[2] or '0')
if now - since >= tonumber(ARGV[1]) or redis.call('HLEN', KEYS[base + generation]) >= tonumber(ARGV[3]) then
  generation = (generation + 1) % count
  redis.call('DEL', KEYS[base + generation])
  redis.call('HSET', KEYS[1], 'generation', generation, 'since', whole(now))
end
local newest, firsts = KEYS[base + generation], {}
for i = 7, #ARGV, 2 do
  local first
  for g = base, #KEYS do
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
