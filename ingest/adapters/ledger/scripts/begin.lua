-- KEYS: events, where sinks begin. ARGV: group, '1' to begin behind the last entry.
-- Once: a group that is made again, after another configuration had destroyed it, must not pass over what came between.
local from = '0'
if ARGV[2] == '1' and redis.call('EXISTS', KEYS[1]) == 1 then
  local flat = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #flat, 2 do
    if flat[i] == 'last-generated-id' then
      from = flat[i + 1]
    end
  end
end
redis.call('HSETNX', KEYS[2], ARGV[1], from)
