-- KEYS: events, where sinks begin. ARGV: group.
ensure(KEYS[1], KEYS[2], ARGV[1])
