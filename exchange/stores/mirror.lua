-- Writes a company's change into the fast copy, newest wins field by field, and tells the workers.
-- KEYS: window:{company}, usage:{company}.
-- ARGV: version, head, whole (1 or 0), number of buckets, then field and value of each bucket,
-- then field and value of each usage, and last the workers' channel and the message.
-- A value is "version|figures"; the head is under the field "head". Under "whole" is the version
-- of the newest whole change: what it left out is known to be gone as of then.
local version = tonumber(ARGV[1])
local function version_of(key, field)
    local held = redis.call('HGET', key, field)
    return held and tonumber(string.match(held, '^(%d+)|')) or -1
end
local function forget_unnamed(key, named)
    local held = redis.call('HGETALL', key)
    for i = 1, #held, 2 do
        if held[i] ~= 'head' and held[i] ~= 'whole' and not named[held[i]]
            and tonumber(string.match(held[i + 1], '^(%d+)|')) <= version then
            redis.call('HDEL', key, held[i])
        end
    end
end
local function take(key, first, last)
    local whole = version_of(key, 'whole')
    local named = {}
    for i = first, last, 2 do
        named[ARGV[i]] = true
        if version > whole and version > version_of(key, ARGV[i]) then
            redis.call('HSET', key, ARGV[i], ARGV[1] .. '|' .. ARGV[i + 1])
        end
    end
    if ARGV[3] == '1' then
        forget_unnamed(key, named)
        if version > whole then redis.call('HSET', key, 'whole', ARGV[1] .. '|') end
    end
end
if version > version_of(KEYS[1], 'head') then
    redis.call('HSET', KEYS[1], 'head', ARGV[1] .. '|' .. ARGV[2])
end
local buckets_end = 4 + 2 * tonumber(ARGV[4])
take(KEYS[1], 5, buckets_end)
take(KEYS[2], buckets_end + 1, #ARGV - 2)
redis.call('PUBLISH', ARGV[#ARGV - 1], ARGV[#ARGV])
return 1
