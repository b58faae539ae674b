-- Stands before the scripts of the event stream.

-- The groups of a stream by name, each as a table of what XINFO tells; none where there is no stream.
local function groups_of(stream)
  local groups = {}
  if redis.call('EXISTS', stream) == 1 then
    for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
      local group = {}
      for i = 1, #flat, 2 do
        group[flat[i]] = flat[i + 1]
      end
      groups[group.name] = group
    end
  end
  return groups
end

-- Where there is no such group, make it: from where its sink begins, which is the beginning unless it is remembered.
local function ensure(stream, begins, name)
  if not groups_of(stream)[name] then
    redis.call('XGROUP', 'CREATE', stream, name, redis.call('HGET', begins, name) or '0', 'MKSTREAM')
  end
end

-- Milliseconds and sequence of an id such as 1763881200000-3.
local function split(id)
  local ms, seq = id:match('^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function precedes(one, other)
  local ms, seq = split(one)
  local other_ms, other_seq = split(other)
  return ms < other_ms or (ms == other_ms and seq < other_seq)
end

-- The lowest id that comes after this one.
local function after(id)
  local ms, seq = split(id)
  return whole(ms) .. '-' .. whole(seq + 1)
end

-- Entries up to this id (not included) were acknowledged by the group.
local function floor_of(stream, group)
  if tonumber(group.pending) > 0 then
    return redis.call('XPENDING', stream, group.name)[2]
  end
  return after(group['last-delivered-id'])
end
