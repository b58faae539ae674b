-- KEYS: events. ARGV: from where on, how many to look at, a mailbox or nothing, ids of events.
-- Takes those of the mailbox and those with these ids out of the stream. Returns how many, and from where to go on:
-- nothing at its end. Whoever has read one and not acknowledged it does that when he reads again (`read`).
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
  if wanted[fields.id] or (ARGV[3] ~= '' and fields.mailbox == ARGV[3]) then
    removed = removed + redis.call('XDEL', KEYS[1], entry[1])
  end
end
if #entries < tonumber(ARGV[2]) then
  return { removed, '' }
end
return { removed, after(entries[#entries][1]) }
