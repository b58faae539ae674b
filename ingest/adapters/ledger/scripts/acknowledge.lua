-- KEYS: events, answers
-- ARGV: group, how many steps are kept, sink, answers, position...
-- One script, so that the answers of a sink cost no round trip of their own.
-- Include: spare
if #ARGV > 4 then
  redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, 5))
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'sink', ARGV[3], 'answers', ARGV[4])
