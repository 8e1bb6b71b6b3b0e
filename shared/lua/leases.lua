-- Leases, in Redis time only. KEYS[1] lease:{role}, KEYS[2] epochs; ARGV[1] verb, ARGV[2] role, then
--   acquire  ARGV[3] random, ARGV[4] ttl ms, ARGV[5] least epoch ('now': Redis time in ms), ARGV[6] value of a lease
--            that does not count, because its owner is known to be gone; or ''
--   renew    ARGV[3] whole value, ARGV[4] ttl ms
--   release  ARGV[3] whole value
--   forget
-- acquire returns the whole value, or {value, its remaining ms or -1} of the lease that another process holds; the
-- others return 1 or 0.
local verb, role = ARGV[1], ARGV[2]

if verb == 'acquire' then
  local held = redis.call('GET', KEYS[1])
  if held and held ~= ARGV[6] then return {held, redis.call('PTTL', KEYS[1])} end
  local least = ARGV[5]
  if least == 'now' then
    local time = redis.call('TIME')
    least = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  local last = last_epoch(KEYS[2], role)
  local epoch = string.format('%.0f', math.max(last + 1, tonumber(least)))
  redis.call('HSET', KEYS[2], role, epoch)
  redis.call('SET', KEYS[1], epoch .. ':' .. ARGV[3], 'PX', ARGV[4])
  return epoch .. ':' .. ARGV[3]
elseif verb == 'renew' then
  return renewed(KEYS[1], KEYS[2], role, ARGV[3], ARGV[4]) and 1 or 0
elseif verb == 'release' then
  if redis.call('GET', KEYS[1]) ~= ARGV[3] then return 0 end
  redis.call('DEL', KEYS[1])
  redis.call('HINCRBY', KEYS[2], role, 1) -- A released lease, unlike an expired one, must not be taken back.
  return 1
elseif verb == 'forget' then
  -- One field for all removed cameras, above their epochs: no owner takes its lease back, and no epoch repeats.
  local removed = tonumber(redis.call('HGET', KEYS[2], 'removed') or '0') or 0
  removed = math.max(removed, last_epoch(KEYS[2], role) + 1)
  redis.call('HSET', KEYS[2], 'removed', string.format('%.0f', removed))
  redis.call('HDEL', KEYS[2], role)
  redis.call('DEL', KEYS[1])
  return 1
end
return redis.error_reply('leases.lua: unknown verb ' .. verb)
