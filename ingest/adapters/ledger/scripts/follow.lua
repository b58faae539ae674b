-- KEYS: events
-- ARGV: position to start after or '', entries to return
-- Returns 1 if entries after the position may have been removed or it is of another stream, the position where the
-- stream ends, and the entries.
-- Atomic, because entries may be trimmed between a look at the first one and the reading.
-- Include: stream
local behind, last = ARGV[1], end_of(KEYS[1]) or '0-0'
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local oldest = first and first[1] or last
if behind == '' or precedes(last, behind) or precedes(behind, oldest) then
  return { 1, last, redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[2]) }
end
return { 0, behind, redis.call('XRANGE', KEYS[1], after(behind), '+', 'COUNT', ARGV[2]) }
