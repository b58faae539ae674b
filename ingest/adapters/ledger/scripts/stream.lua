-- Consumer groups and positions of the event stream.
-- Include: clock

-- The groups of a stream by name, each as a table of its XINFO fields; empty if there is no stream.
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

-- Milliseconds and sequence number of a position such as 1763881200000-3.
local function split(id)
  local ms, seq = id:match('^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function precedes(one, other)
  local ms, seq = split(one)
  local other_ms, other_seq = split(other)
  return ms < other_ms or (ms == other_ms and seq < other_seq)
end

-- The position of the last entry that a stream ever had; nil if there is no stream.
local function end_of(stream)
  if redis.call('EXISTS', stream) == 0 then
    return nil
  end
  local flat = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #flat, 2 do
    if flat[i] == 'last-generated-id' then
      return flat[i + 1]
    end
  end
end

-- Create a group if there is none: at the recorded position of its sink, or at the start of the stream. A position that
-- the stream has not reached is of one that was lost, before the clock was set back: all that is here now is new.
local function ensure(stream, begins, name)
  if not groups_of(stream)[name] then
    local from = redis.call('HGET', begins, name) or '0'
    if from ~= '0' and precedes(end_of(stream) or '0-0', from) then
      from = '0'
    end
    redis.call('XGROUP', 'CREATE', stream, name, from, 'MKSTREAM')
  end
end

-- The lowest position after this one.
local function after(id)
  local ms, seq = split(id)
  return whole(ms) .. '-' .. whole(seq + 1)
end

-- The group has acknowledged all entries before this position.
local function floor_of(stream, group)
  if tonumber(group.pending) > 0 then
    return redis.call('XPENDING', stream, group.name)[2]
  end
  return after(group['last-delivered-id'])
end
