-- Included by scripts that free memory, and by those which they need: they hold a few bytes at most.
-- A server that is out of memory rejects commands that may need more, but no longer once a script has written something.
-- So this write, which changes nothing, comes first. (The flag allow-oom does the same, but only from Redis 7 on.)
redis.call('PERSIST', KEYS[1])
