-- KEYS: due, claimed, fences, tries, open, open since, failed, unprocessed, events, changes, counts,
-- counts of unprocessed messages, seen set
-- ARGV: key, fence, event id or '', type, body, mailbox, first seen (ms), failed JSON, store id or '', next key, fence, tries
-- Returns 1, or -1 if the claim is stale. If the next message is given and was begun: that message as JSON.
-- Atomic, because a message that is closed without its event would never be published, and an event without the
-- message being closed would be published once more for every further attempt. Redis does not undo a script that
-- fails halfway, so the event is appended first: at worst it is repeated, with the same id.
-- Include: claims, seen, begin_open

-- Remove the digests of a message from the seen set, so that the next poll fetches it again.
local function forget_seen(key, digests)
  local records, kept = redis.call('GET', key) or '', {}
  for i = 1, #records, RECORD_BYTES do
    if not contains(digests, records:sub(i, i + 15)) then
      table.insert(kept, records:sub(i, i + RECORD_BYTES - 1))
    end
  end
  redis.call('SET', key, table.concat(kept))
end

if not holds(KEYS[3], ARGV[1], ARGV[2]) then
  return -1
end
if ARGV[3] ~= '' then
  redis.call(
    'XADD', KEYS[9], '*',
    'id', ARGV[3], 'type', ARGV[4], 'mailbox', ARGV[6], 'body', ARGV[5], 'first_seen', ARGV[7]
  )
  redis.call('HINCRBY', KEYS[11], 'events', 1)
end
-- Nobody has processed it in the store that it is open for, if a process with another one was first.
local open = redis.call('HGET', KEYS[5], ARGV[1])
if ARGV[9] ~= '' and open and of_another({ store_id = ARGV[9] }, cjson.decode(open)) then
  forget_seen(KEYS[13], redis.call('HGET', KEYS[8], ARGV[1]) or '')
end
if ARGV[8] ~= '' then
  redis.call('HINCRBY', KEYS[11], 'failed', redis.call('HSET', KEYS[7], ARGV[1], ARGV[8]))
else
  redis.call('HINCRBY', KEYS[12], ARGV[6], 0 - redis.call('HDEL', KEYS[8], ARGV[1]))
  redis.call('HINCRBY', KEYS[10], ARGV[6], 1)
end
redis.call('HINCRBY', KEYS[11], 'open', 0 - redis.call('HDEL', KEYS[5], ARGV[1]))
redis.call('ZREM', KEYS[6], ARGV[1])
forget(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1])
if ARGV[10] ~= '' and holds(KEYS[3], ARGV[10], ARGV[11]) then
  return begin_open(KEYS[4], KEYS[5], ARGV[10], ARGV[12]) or 1
end
return 1
