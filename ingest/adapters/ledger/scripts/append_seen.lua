-- KEYS: fences of mailboxes, seen. ARGV: mailbox, fence, records.
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end
return append(KEYS[2], ARGV[3])
