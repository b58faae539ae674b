-- Seen sets, and the stores of open messages.

-- A seen record: digest (16 bytes), second (4), where the message is stored (22); see ingest/domain/seen.py.
local RECORD_BYTES = 42

local function contains(digests, digest)
  for i = 1, #digests, 16 do
    if digests:sub(i, i + 15) == digest then
      return true
    end
  end
  return false
end

-- Whether a message that is open or failed was put there for another store. Nothing is known of a store that is nil.
local function of_another(before, after)
  return after.store_id ~= nil and before.store_id ~= after.store_id
end
