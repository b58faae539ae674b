-- KEYS: events, begins
-- ARGV: group, '1' to begin after the last entry
-- Only the first call for a group counts: a group that is recreated, after a process with another configuration
-- destroyed it, must not skip the entries appended in between.
-- Atomic, because an entry appended between the look at the stream and the HSETNX would be skipped or not, by chance.
-- Include: spare
local from = '0'
if ARGV[2] == '1' and redis.call('EXISTS', KEYS[1]) == 1 then
  local flat = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #flat, 2 do
    if flat[i] == 'last-generated-id' then
      from = flat[i + 1]
    end
  end
end
redis.call('HSETNX', KEYS[2], ARGV[1], from)
