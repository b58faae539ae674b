-- KEYS: events, where sinks begin. ARGV: group, limit. Returns entries, each as id and fields.
-- One consumer name serves, because a sink is claimed by one relay at a time.
ensure(KEYS[1], KEYS[2], ARGV[1])
local found = {}

local function take(from, count)
  local reply = redis.call(
    'XREADGROUP', 'GROUP', ARGV[1], 'relay', 'COUNT', count, 'STREAMS', KEYS[1], from
  )
  for _, entry in ipairs(reply and reply[1][2] or {}) do
    if entry[2] then
      table.insert(found, entry)
    else
      -- Somebody deleted it from the stream.
      redis.call('XACK', KEYS[1], ARGV[1], entry[1])
    end
  end
end

local limit = tonumber(ARGV[2])
take('0', limit)
if #found < limit then
  take('>', limit - #found)
end
return found
