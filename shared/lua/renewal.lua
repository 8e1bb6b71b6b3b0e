-- Prelude. Prolongs the lease of a role if the caller still owns it; whether it does. It also owns what expired, or what
-- Redis lost with its last writes, as long as nobody has owned the role since: then nothing was missed.
local function renewed(lease, epochs, role, value, ttl_ms)
  local held = redis.call('GET', lease)
  if held == value then
    redis.call('PEXPIRE', lease, ttl_ms)
    return true
  end
  local epoch = tonumber(string.match(value, '^(%d+):'))
  if held or tonumber(redis.call('HGET', epochs, role) or '0') > epoch then return false end
  redis.call('HSET', epochs, role, string.format('%.0f', epoch))
  redis.call('SET', lease, value, 'PX', ttl_ms)
  return true
end

