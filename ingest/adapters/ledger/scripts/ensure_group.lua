-- KEYS: events. ARGV: group.
ensure(KEYS[1], ARGV[1])
