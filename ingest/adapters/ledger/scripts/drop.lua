-- KEYS: due, claimed, fences, tries
-- ARGV: id...
-- Atomic, because an item that somebody claims between the commands would keep its claim and lose its fence or its
-- tries.
-- Include: spare, claims
for _, id in ipairs(ARGV) do
  forget(KEYS[1], KEYS[2], KEYS[3], KEYS[4], id)
end
