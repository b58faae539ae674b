-- KEYS: sessions, ends, names
-- ARGV: digest
-- Atomic, because its names are known only while it is there.
-- Include: sessions
remove(ARGV[1])
return 1
