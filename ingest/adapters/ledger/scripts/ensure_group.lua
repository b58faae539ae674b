-- KEYS: events, begins
-- ARGV: group
-- Atomic, because XGROUP CREATE fails when another process creates the group after the look.
-- Include: spare, stream
ensure(KEYS[1], KEYS[2], ARGV[1])
