-- Takes a suppression list's contacts out of buckets. KEYS: the buckets. ARGV: the list's number.
local number, taken = ARGV[1], 0
for i = 1, #KEYS do
    local held = redis.call('HGETALL', KEYS[i])
    for j = 1, #held, 2 do
        local others, is_on = {}, false
        for each in string.gmatch(held[j + 1], '%d+') do
            if each == number then is_on = true else others[#others + 1] = each end
        end
        if is_on then
            taken = taken + 1
            if #others == 0 then
                redis.call('HDEL', KEYS[i], held[j])
            else
                redis.call('HSET', KEYS[i], held[j], table.concat(others, ','))
            end
        end
    end
end
return taken
