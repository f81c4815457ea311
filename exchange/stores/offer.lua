-- Keeps the offers of many pings, each unless its contact was seen before.
-- For each ping, KEYS has the offer's key and the keys of its contact; ARGV how many of those,
-- the milliseconds to keep the offer, and the offer (empty where there is none to keep).
-- Gives for each ping 1 if the contact was seen (nothing is kept then), else 0.
local answers = {}
local key, argument = 1, 1
while argument <= #ARGV do
    local contacts = tonumber(ARGV[argument])
    local seen = 0
    for i = 1, contacts do
        if redis.call('EXISTS', KEYS[key + i]) == 1 then seen = 1 end
    end
    if seen == 0 and ARGV[argument + 2] ~= '' then
        redis.call('SET', KEYS[key], ARGV[argument + 2], 'PX', ARGV[argument + 1])
    end
    answers[#answers + 1] = seen
    key = key + contacts + 1
    argument = argument + 3
end
return answers
