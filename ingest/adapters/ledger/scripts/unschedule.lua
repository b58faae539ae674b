-- KEYS: due, claimed, fences, tries, paused
-- ARGV: mailbox, fence
-- Returns 1 if the mailbox was removed from the schedule; 0 if it is not paused, or the claim is stale.
-- Atomic, because a mailbox that is resumed between the look and the removal would be neither paused nor scheduled.
-- Include: spare, claims
if not holds(KEYS[3], ARGV[1], ARGV[2]) or redis.call('HEXISTS', KEYS[5], ARGV[1]) == 0 then
  return 0
end
forget(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1])
return 1
