-- KEYS: events
-- ARGV: group...
-- Returns for each group the position before which it has acknowledged every entry; '' if there is no such group.
-- Atomic, because an entry that is read and acknowledged in between would move a position back.
-- Include: stream
local groups, found = groups_of(KEYS[1]), {}
for i = 1, #ARGV do
  local group = groups[ARGV[i]]
  found[i] = group and floor_of(KEYS[1], group) or ''
end
return found
