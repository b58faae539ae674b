-- KEYS: events
-- ARGV: group
-- Returns how many entries are not acknowledged, and the age of the oldest in milliseconds.
-- Atomic, because an entry that is read between two commands would be counted twice, and one that is acknowledged in
-- between would count as the oldest.
-- Include: stream
local group = groups_of(KEYS[1])[ARGV[1]]
  or { name = ARGV[1], pending = 0, ['last-delivered-id'] = '0-0' }
local read = group['last-delivered-id']

-- The server does not know how many entries follow a position after one of them was deleted, nor before Redis 7. Then
-- they are counted, up to ten thousand.
local function count_unread()
  local count, from = 0, after(read)
  while count < 10000 do
    local entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 100)
    count = count + #entries
    if #entries < 100 then
      break
    end
    from = after(entries[#entries][1])
  end
  return count
end

local pending = tonumber(group.pending)
local oldest
if pending > 0 then
  oldest = redis.call('XPENDING', KEYS[1], ARGV[1])[2]
else
  local first = redis.call('XRANGE', KEYS[1], after(read), '+', 'COUNT', 1)[1]
  oldest = first and first[1]
end
if not oldest then
  return { 0, '0' }
end
local unread = group.lag and tonumber(group.lag) or count_unread()
return { pending + unread, whole(math.max(0, milliseconds() - (split(oldest)))) }
