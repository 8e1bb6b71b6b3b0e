-- The heartbeat of one process, in Redis time. KEYS[1] services, KEYS[2] service:{id}; ARGV[1] id, ARGV[2] ms since it
-- started, ARGV[3] ms until the entry expires, then the fields of service:{id}.
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', ms), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', ms - ARGV[3]))
redis.call('HSET', KEYS[2], 'started_ms', string.format('%.0f', ms - ARGV[2]), unpack(ARGV, 4))
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[3]) end
