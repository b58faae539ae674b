-- KEYS: fences of mailboxes, events. ARGV: mailbox, fence; then id, type, mailbox and body of each event.
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end
for i = 3, #ARGV, 4 do
  redis.call('XADD', KEYS[2], '*', 'id', ARGV[i], 'type', ARGV[i + 1], 'mailbox', ARGV[i + 2], 'body', ARGV[i + 3])
end
return 1
