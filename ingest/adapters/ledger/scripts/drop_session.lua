-- KEYS: as in sessions.lua
-- ARGV: digest
-- Atomic, because its names are known only while it is there.
-- Include: clock, sessions
remove(ARGV[1])
return 1
