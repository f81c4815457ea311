-- Writes a company's change into the fast copy, newest wins field by field, and tells the workers.
-- KEYS: window:{company}, usage:{company}.
-- ARGV: version, head, whole (1 or 0), number of buckets, then field and value of each bucket,
-- then field and value of each usage, and last the message.
-- A value is "version|figures"; the head is under the field "head".
local version = tonumber(ARGV[1])
local function newer(key, field)
    local held = redis.call('HGET', key, field)
    return not held or version > tonumber(string.match(held, '^(%d+)|'))
end
local function put(key, field, value)
    if newer(key, field) then
        redis.call('HSET', key, field, ARGV[1] .. '|' .. value)
    end
end
local function forget_unnamed(key, named)
    local held = redis.call('HGETALL', key)
    for i = 1, #held, 2 do
        if held[i] ~= 'head' and not named[held[i]]
            and tonumber(string.match(held[i + 1], '^(%d+)|')) <= version then
            redis.call('HDEL', key, held[i])
        end
    end
end
put(KEYS[1], 'head', ARGV[2])
local buckets_end = 4 + 2 * tonumber(ARGV[4])
local named = {}
for i = 5, buckets_end, 2 do
    put(KEYS[1], ARGV[i], ARGV[i + 1])
    named[ARGV[i]] = true
end
if ARGV[3] == '1' then forget_unnamed(KEYS[1], named) end
named = {}
for i = buckets_end + 1, #ARGV - 1, 2 do
    put(KEYS[2], ARGV[i], ARGV[i + 1])
    named[ARGV[i]] = true
end
if ARGV[3] == '1' then forget_unnamed(KEYS[2], named) end
redis.call('PUBLISH', 'market', ARGV[#ARGV])
return 1
