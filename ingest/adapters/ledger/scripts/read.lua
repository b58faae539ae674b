-- KEYS: events, begins
-- ARGV: group, limit
-- Returns entries, each as position and fields: those read before and not acknowledged, then new ones.
-- One consumer name serves all relays, because a sink is claimed by one relay at a time.
-- Atomic, because another process may destroy the group (`trim`) after it was ensured, and XREADGROUP would then
-- fail.
-- Include: spare, stream
ensure(KEYS[1], KEYS[2], ARGV[1])
local found = {}

local function fetch(from, count)
  local reply = redis.call(
    'XREADGROUP', 'GROUP', ARGV[1], 'relay', 'COUNT', count, 'STREAMS', KEYS[1], from
  )
  for _, entry in ipairs(reply and reply[1][2] or {}) do
    if entry[2] then
      table.insert(found, entry)
    else
      -- It was deleted from the stream.
      redis.call('XACK', KEYS[1], ARGV[1], entry[1])
    end
  end
end

local limit = tonumber(ARGV[2])
fetch('0', limit)
if #found < limit then
  fetch('>', limit - #found)
end
return found
