-- Puts contacts on a suppression list, or takes them off it.
-- KEYS: the lists' versions, then each contact's bucket.
-- ARGV: 1 to put or 0 to take, the list's number, its version before and after this (the one after
-- is empty where more of the same change follows), then each contact's field in its bucket.
-- A field's value is the numbers of the lists its contact is on, apart by commas. The version moves
-- from the one before only; where the copy is of another one it missed a change, and is of none (-1).
local number = ARGV[2]
for i = 5, #ARGV do
    local bucket, field = KEYS[i - 3], ARGV[i]
    local lists = redis.call('HGET', bucket, field)
    local others = {}
    for each in string.gmatch(lists or '', '%d+') do
        if each ~= number then others[#others + 1] = each end
    end
    if ARGV[1] == '1' then others[#others + 1] = number end
    if #others == 0 then
        redis.call('HDEL', bucket, field)
    else
        redis.call('HSET', bucket, field, table.concat(others, ','))
    end
end
if ARGV[4] ~= '' then
    local is_next = redis.call('HGET', KEYS[1], number) == ARGV[3]
    redis.call('HSET', KEYS[1], number, is_next and ARGV[4] or -1)
end
return #ARGV - 4
