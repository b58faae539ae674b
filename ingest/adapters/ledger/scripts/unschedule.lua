-- KEYS: due, claimed, fences, tries of mailboxes; paused. ARGV: mailbox, fence.
-- Takes a claimed mailbox out of the schedule if it is paused; returns whether.
if not holds(KEYS[3], ARGV[1], ARGV[2]) or redis.call('HEXISTS', KEYS[5], ARGV[1]) == 0 then
  return 0
end
forget(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1])
return 1
