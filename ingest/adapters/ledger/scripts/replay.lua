-- KEYS: events, counts, clock step
-- ARGV: time of the oldest manifest in ms whose event may not be delivered yet or empty, (id, type, mailbox, body)...
-- Atomic, because a watermark that is written between the events and the time of their manifests would pass them.
-- Include: republished
if ARGV[1] ~= '' then
  note_republished(KEYS[3], tonumber(ARGV[1]))
end
for i = 2, #ARGV, 4 do
  redis.call('XADD', KEYS[1], '*', 'id', ARGV[i], 'type', ARGV[i + 1], 'mailbox', ARGV[i + 2], 'body', ARGV[i + 3])
end
redis.call('HINCRBY', KEYS[2], 'events', (#ARGV - 1) / 4)
return 1
