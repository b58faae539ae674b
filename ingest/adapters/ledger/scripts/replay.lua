-- KEYS: events, counts, clock step
-- ARGV: time of the oldest manifest in ms whose event may not be delivered yet or empty, the only sink or empty,
-- (id, type, mailbox, body)...
-- Atomic, because a watermark that is written between the events and the time of their manifests would pass them.
-- Include: republished
if ARGV[1] ~= '' then
  note_republished(KEYS[3], tonumber(ARGV[1]))
end
local only = ARGV[2] ~= '' and { 'only', ARGV[2] } or {}
for i = 3, #ARGV, 4 do
  redis.call(
    'XADD', KEYS[1], '*',
    'id', ARGV[i], 'type', ARGV[i + 1], 'mailbox', ARGV[i + 2], 'body', ARGV[i + 3], unpack(only)
  )
end
redis.call('HINCRBY', KEYS[2], 'events', (#ARGV - 2) / 4)
return 1
