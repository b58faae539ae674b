-- KEYS: tasks
-- ARGV: task, 1 if a run of it has succeeded, 0 if one begins
-- The time of a begin is that of the first run that no successful one has followed.
-- A script, because retention and statements must run while the server is out of memory.
-- Include: spare, clock
local now = string.format('%.6f', microseconds() / 1000000)
if ARGV[2] == '1' then
  redis.call('HDEL', KEYS[1], ARGV[1] .. ':unfinished')
  redis.call('HSET', KEYS[1], ARGV[1] .. ':succeeded', now)
else
  redis.call('HSETNX', KEYS[1], ARGV[1] .. ':unfinished', now)
end
return 1
