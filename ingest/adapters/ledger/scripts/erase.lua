-- KEYS: events, counts
-- ARGV: position to start at, entries to look at, mailbox or '', event id...
-- Deletes the events of the mailbox, and those with these ids. Returns how many, and the position to continue at, ''
-- at the end. A sink that has read a deleted entry and not acknowledged it does so at its next read (`read`).
-- One script, because otherwise whole events would travel to the client only to have their ids compared. Bounded, so
-- that it does not block the server.
-- Include: spare, stream
local wanted = {}
for i = 4, #ARGV do
  wanted[ARGV[i]] = true
end
local entries = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
local removed = 0
for _, entry in ipairs(entries) do
  local fields = {}
  for i = 1, #entry[2], 2 do
    fields[entry[2][i]] = entry[2][i + 1]
  end
  -- The id of an update's event has a hyphen and a number behind its 32 digits.
  if wanted[fields.id] or wanted[fields.id:sub(1, 32)] or (ARGV[3] ~= '' and fields.mailbox == ARGV[3]) then
    removed = removed + redis.call('XDEL', KEYS[1], entry[1])
  end
end
redis.call('HINCRBY', KEYS[2], 'events', 0 - removed)
if #entries < tonumber(ARGV[2]) then
  return { removed, '' }
end
return { removed, after(entries[#entries][1]) }
