-- KEYS: events
-- ARGV: position to start after or '', entries to look at
-- Returns the ids of the events, without those for one sink only, and the position of the last entry.
-- One script, because otherwise whole events would travel to the client for their ids.
-- Include: stream
local from = ARGV[1] == '' and '-' or after(ARGV[1])
local found, last = {}, ARGV[1]
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[2])) do
  last = entry[1]
  local id
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'id' then
      id = entry[2][i + 1]
    elseif entry[2][i] == 'only' then
      id = nil
      break
    end
  end
  found[#found + 1] = id
end
return { found, last }
