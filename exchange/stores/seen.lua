-- Remembers sold contacts: for each of KEYS the fields to set, all to one time.
-- ARGV: the seconds to keep them, then for each key the time in milliseconds, how many fields, and
-- the fields.
local argument = 2
for i = 1, #KEYS do
    local at, fields = ARGV[argument], tonumber(ARGV[argument + 1])
    local set = {}
    for j = 1, fields do
        set[#set + 1] = ARGV[argument + 1 + j]
        set[#set + 1] = at
    end
    redis.call('HSET', KEYS[i], unpack(set))
    redis.call('EXPIRE', KEYS[i], ARGV[1])
    argument = argument + 2 + fields
end
return #KEYS
