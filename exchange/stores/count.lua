-- Counts the contacts of each suppression list in buckets. KEYS: the buckets.
-- Gives the lists' numbers, each followed by its count.
local counts, told = {}, {}
for i = 1, #KEYS do
    for _, lists in ipairs(redis.call('HVALS', KEYS[i])) do
        for number in string.gmatch(lists, '%d+') do
            counts[number] = (counts[number] or 0) + 1
        end
    end
end
for number, count in pairs(counts) do
    told[#told + 1] = number
    told[#told + 1] = count
end
return told
