-- Keeps the offers of many pings, each unless something is known of its contact.
-- KEYS: the names of suppression lists; then for each ping the offer's key, and of its contact keys
-- first their sales, then their buckets of suppressed contacts and, where repeats are refused, the
-- seller's pings of them.
-- ARGV: for each ping how many contact keys, the milliseconds to keep the offer, and the offer (empty
-- where there is none to keep); where it has any, the milliseconds in which a repeat is refused (0
-- for never), the present in milliseconds, and each one's field in its bucket.
-- Gives for each ping 0 if nothing is known of its contact, else (and nothing is kept then) whether
-- it is a repeat, the fields and values of its sales, and the companies that suppress it.
local has_lists = redis.call('EXISTS', KEYS[1]) == 1
local answers = {}

local function sales_of(first, last)
    local sales = {}
    for i = first, last do
        for _, part in ipairs(redis.call('HGETALL', KEYS[i])) do sales[#sales + 1] = part end
    end
    return sales
end

local function suppressors_of(first, contacts, field)
    local companies
    for i = 0, contacts - 1 do
        local lists = redis.call('HGET', KEYS[first + i], ARGV[field + i])
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

local function is_repeat(first, last, now, window)
    for i = first, last do
        local pinged = redis.call('GET', KEYS[i])
        if pinged and now - tonumber(pinged) < window then return true end
    end
    for i = first, last do redis.call('SET', KEYS[i], now, 'PX', window) end
    return false
end

local key, argument = 2, 1
while argument <= #ARGV do
    local contacts, offer_key, answer = tonumber(ARGV[argument]), KEYS[key], 0
    local ttl, offer = ARGV[argument + 1], ARGV[argument + 2]
    key, argument = key + 1, argument + 3
    if contacts > 0 then
        local window = tonumber(ARGV[argument])
        local last, sales, companies, again = key + contacts - 1, nil, nil, false
        if redis.call('EXISTS', unpack(KEYS, key, last)) > 0 then sales = sales_of(key, last) end
        if has_lists then companies = suppressors_of(last + 1, contacts, argument + 2) end
        key = key + 2 * contacts
        if window > 0 then
            again = is_repeat(key, key + contacts - 1, tonumber(ARGV[argument + 1]), window)
            key = key + contacts
        end
        if sales or companies or again then
            answer = {again and 1 or 0, sales or {}, companies or {}}
        end
        argument = argument + 2 + contacts
    end
    if answer == 0 and offer ~= '' then redis.call('SET', offer_key, offer, 'PX', ttl) end
    answers[#answers + 1] = answer
end
return answers
