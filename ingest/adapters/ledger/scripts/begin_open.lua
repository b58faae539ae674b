-- The beginning of an attempt on a message whose claim is valid.

-- Count the attempt, and return the message as JSON; false, and nothing counted, if the message is not open.
local function begin_open(tries, open, id, count)
  local message = redis.call('HGET', open, id)
  if message then
    redis.call('HSET', tries, id, count)
  end
  return message
end
