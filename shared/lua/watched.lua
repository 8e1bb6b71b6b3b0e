-- Records which cameras are being watched, and removes old entries.
-- KEYS[1] viewers; ARGV[1] how long an entry is kept, ms; ARGV[2…] the cameras that are watched now.
-- Returns Redis time in ms.
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], ms, ARGV[i]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. (ms - tonumber(ARGV[1])))
return ms
