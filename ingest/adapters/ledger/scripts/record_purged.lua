-- KEYS: purged
-- ARGV: messages to keep about, message key...
-- One script, because a purge of twenty thousand messages would otherwise take as many round trips.
-- Include: spare
for i = 2, #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'key', ARGV[i])
end
return #ARGV - 1
