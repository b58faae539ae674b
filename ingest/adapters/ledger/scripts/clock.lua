-- The server's clock, and whole numbers.

local function microseconds()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function milliseconds()
  return math.floor(microseconds() / 1000)
end

-- Lua prints large numbers as 1.7e+15.
local function whole(number)
  return string.format('%.0f', number)
end
