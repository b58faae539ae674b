-- KEYS: mailbox fences, seen set, unprocessed, open, open since, failed, due messages, claimed messages, changes,
-- counts, counts of unprocessed messages
-- ARGV: mailbox, fence, records stored, records not stored, (message key, JSON, first seen in milliseconds, digest)...
-- The seconds of records stored are set here, by the clock of the ledger.
-- Returns how many messages were opened, -1 if the claim is stale.
-- Atomic, because a digest in the seen set without its open message would be mail that is never processed, and would
-- be deleted on the server although nobody has its event. Redis does not undo a script that fails halfway, so the
-- seen set grows last: at worst the messages are fetched again and recognised by their keys.
-- Include: claims, append, seen
if not holds(KEYS[1], ARGV[1], ARGV[2]) then
  return -1
end

local now, opened, unprocessed = milliseconds(), 0, 0
-- Digests that come without a message belong to messages that were processed before.
if (#ARGV[3] + #ARGV[4]) / RECORD_BYTES > (#ARGV - 4) / 4 then
  redis.call('HINCRBY', KEYS[9], ARGV[1], 1)
end
for i = 5, #ARGV, 4 do
  local key, json, since, digest = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local failed = redis.call('HGET', KEYS[6], key)
  if failed then
    local before = cjson.decode(failed).message
    if before.store_id and of_another(before, cjson.decode(json)) then
      redis.call('HINCRBY', KEYS[10], 'failed', 0 - redis.call('HDEL', KEYS[6], key))
      failed = false
    end
  end
  if not failed then
    local open = redis.call('HGET', KEYS[4], key)
    if not open or of_another(cjson.decode(open), cjson.decode(json)) then
      opened = opened + redis.call('HSET', KEYS[4], key, json)
      redis.call('ZADD', KEYS[5], since, key)
    end
    if not knows(KEYS[7], KEYS[8], key) then
      redis.call('ZADD', KEYS[7], whole(now), key)
    end
  end
  local digests = redis.call('HGET', KEYS[3], key) or ''
  if not contains(digests, digest) then
    unprocessed = unprocessed + redis.call('HSET', KEYS[3], key, digests .. digest)
  end
end

redis.call('HINCRBY', KEYS[10], 'open', opened)
redis.call('HINCRBY', KEYS[11], ARGV[1], unprocessed)

local second, records = struct.pack('>I4', math.floor(now / 1000)), {}
for i = 1, #ARGV[3], RECORD_BYTES do
  table.insert(records, ARGV[3]:sub(i, i + 15) .. second .. ARGV[3]:sub(i + 20, i + RECORD_BYTES - 1))
end
append(KEYS[2], table.concat(records) .. ARGV[4])
return opened
