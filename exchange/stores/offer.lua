-- Keeps the offers of many pings, each unless something is known of its contact.
-- KEYS: the names of suppression lists; then for each ping the offer's key, and for each contact key
-- of it: its sales, its bucket of suppressed contacts and, where repeats are refused, the seller's
-- ping of it.
-- ARGV: for each ping how many contact keys, the milliseconds to keep the offer, and the offer (empty
-- where there is none to keep); where it has any, the milliseconds in which a repeat is refused (0
-- for never), the present in milliseconds, and each one's field in its bucket.
-- Gives for each ping 0 if nothing is known of its contact, else (and nothing is kept then) whether
-- it is a repeat, the fields and values of its sales, and the companies that suppress it.
local answers = {}
local key, argument = 2, 1
while argument <= #ARGV do
    local contacts, offer_key, answer = tonumber(ARGV[argument]), KEYS[key], 0
    local ttl, offer = ARGV[argument + 1], ARGV[argument + 2]
    key, argument = key + 1, argument + 3
    if contacts > 0 then
        local window, now = tonumber(ARGV[argument]), tonumber(ARGV[argument + 1])
        local each = window > 0 and 3 or 2
        local is_repeat, sales, companies = 0, {}, {}
        for i = 0, contacts - 1 do
            local at = key + i * each
            local sold = redis.call('HGETALL', KEYS[at])
            for j = 1, #sold do sales[#sales + 1] = sold[j] end
            local lists = redis.call('HGET', KEYS[at + 1], ARGV[argument + 2 + i])
            if lists then
                for number in string.gmatch(lists, '%d+') do
                    companies[#companies + 1] = redis.call('HGET', KEYS[1], number) or nil
                end
            end
            if window > 0 then
                local pinged = redis.call('GET', KEYS[at + 2])
                if pinged and now - tonumber(pinged) < window then is_repeat = 1 end
            end
        end
        if window > 0 and is_repeat == 0 then
            for i = 0, contacts - 1 do
                redis.call('SET', KEYS[key + i * each + 2], now, 'PX', window)
            end
        end
        if is_repeat == 1 or #sales > 0 or #companies > 0 then
            answer = {is_repeat, sales, companies}
        end
        key, argument = key + contacts * each, argument + 2 + contacts
    end
    if answer == 0 and offer ~= '' then redis.call('SET', offer_key, offer, 'PX', ttl) end
    answers[#answers + 1] = answer
end
return answers
