-- KEYS: due, claimed, fences, tries. ARGV: ids.
for _, id in ipairs(ARGV) do
  forget(KEYS[1], KEYS[2], KEYS[3], KEYS[4], id)
end
