-- KEYS: tasks
-- ARGV: task, 1 if a run has succeeded or 0 if one begins
-- The time of a begin is that of the first run that no successful one has followed.
-- Atomic, because a success without its time would look like a task that was never run. Transactions are rejected by a
-- server that is out of memory, and retention has to run then too.
-- Include: spare, clock
local now = string.format('%.6f', microseconds() / 1000000)
if ARGV[2] == '1' then
  redis.call('HDEL', KEYS[1], ARGV[1] .. ':unfinished')
  redis.call('HSET', KEYS[1], ARGV[1] .. ':succeeded', now)
else
  redis.call('HSETNX', KEYS[1], ARGV[1] .. ':unfinished', now)
end
return 1
