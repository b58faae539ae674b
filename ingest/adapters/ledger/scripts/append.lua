-- APPEND, with little memory.

-- The server doubles the memory of a string that APPEND outgrows. Below this size it is worth a copy to allocate only
-- what is needed; above it, APPEND allocates one mebibyte more at most.
local APPENDED_BYTES = 4 * 1024 * 1024

local function append(key, bytes)
  if redis.call('STRLEN', key) >= APPENDED_BYTES then
    return redis.call('APPEND', key, bytes)
  end
  local whole_string = (redis.call('GET', key) or '') .. bytes
  redis.call('SET', key, whole_string)
  return #whole_string
end
