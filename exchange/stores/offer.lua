-- Keeps the offers of many pings, each unless something is known of its contact.
-- KEYS: the names of suppression lists; then each ping's offer.
-- ARGV: for each ping how many keys its contact has, the milliseconds to keep the offer, and the
-- offer (empty where there is none to keep); where it has any, the milliseconds in which a repeat is
-- refused (0 for never), the present in milliseconds, the seller, the contact's keyed hashes in hex,
-- and as many names in their buckets: the bytes behind the first two. The keys of its sales, its
-- buckets and its pings are made of these here.
-- Gives for each ping 0 if nothing is known of its contact, else (and nothing is kept then) whether
-- it is a repeat, the fields and values of its sales, and the companies that suppress it.
local has_lists = redis.call('EXISTS', KEYS[1]) == 1
local answers = {}

-- Most contacts were never sold: one question for all of them spares two for each.
local function was_any_sold()
    local keys, argument = {}, 1
    while argument <= #ARGV do
        local contacts = tonumber(ARGV[argument])
        for i = argument + 6, argument + 5 + contacts do
            keys[#keys + 1] = 'seen:{' .. ARGV[i] .. '}'
        end
        argument = argument + (contacts > 0 and 6 + 2 * contacts or 3)
    end
    return #keys > 0 and redis.call('EXISTS', unpack(keys)) > 0
end

local function sales_of(first, last)
    local sales
    for i = first, last do
        local found = redis.call('HGETALL', 'seen:{' .. ARGV[i] .. '}')
        for j = 1, #found do
            sales = sales or {}
            sales[#sales + 1] = found[j]
        end
    end
    return sales
end


local function suppressors_of(first, last)
    local companies
    for i = first, last do
        local lists = redis.call('HGET', 'suppressed:' .. ARGV[i]:sub(1, 4), ARGV[i + last - first + 1])
        for number in string.gmatch(lists or '', '%d+') do
            local company = redis.call('HGET', KEYS[1], number)
            if company then
                companies = companies or {}
                companies[#companies + 1] = company
            end
        end
    end
    return companies
end

local function is_repeat(first, last, seller, now, window)
    local keys = {}
    for i = first, last do keys[#keys + 1] = 'pinged:{' .. ARGV[i] .. '}:' .. seller end
    for _, key in ipairs(keys) do
        local pinged = redis.call('GET', key)
        if pinged and now - tonumber(pinged) < window then return true end
    end
    for _, key in ipairs(keys) do redis.call('SET', key, now, 'PX', window) end
    return false
end

local any_sold = was_any_sold()
local key, argument = 2, 1
while argument <= #ARGV do
    local contacts, answer = tonumber(ARGV[argument]), 0
    local ttl, offer = ARGV[argument + 1], ARGV[argument + 2]
    argument = argument + 3
    if contacts > 0 then
        local window, first = tonumber(ARGV[argument]), argument + 3
        local last = first + contacts - 1
        local sales, companies, again = nil, nil, false
        if any_sold then sales = sales_of(first, last) end
        if has_lists then companies = suppressors_of(first, last) end
        if window > 0 then
            again = is_repeat(first, last, ARGV[argument + 2], tonumber(ARGV[argument + 1]), window)
        end
        if sales or companies or again then
            answer = {again and 1 or 0, sales or {}, companies or {}}
        end
        argument = last + contacts + 1
    end
    if answer == 0 and offer ~= '' then redis.call('SET', KEYS[key], offer, 'PX', ttl) end
    answers[#answers + 1] = answer
    key = key + 1
end
return answers
