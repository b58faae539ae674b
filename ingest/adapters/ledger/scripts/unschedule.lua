-- KEYS: due, claimed, fences, tries, paused, configuration
-- ARGV: mailbox, fence, digest of the configuration that disables the mailbox (empty if it is only paused)
-- Returns 1 if the mailbox was removed from the schedule; 0 if it is neither paused nor disabled by the newest
-- configuration in use, or the claim is stale.
-- Atomic, because a mailbox that is resumed between the look and the removal would be neither paused nor scheduled,
-- and one that a newer configuration enables in between would not be scheduled either.
-- Include: spare, claims
if not holds(KEYS[3], ARGV[1], ARGV[2]) then
  return 0
end
local disabled = ARGV[3] ~= '' and redis.call('HGET', KEYS[6], 'digest') == ARGV[3]
if not disabled and redis.call('HEXISTS', KEYS[5], ARGV[1]) == 0 then
  return 0
end
forget(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1])
return 1
