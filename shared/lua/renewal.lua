-- Prelude: ownership of a lease.
-- A lease that expired, or that Redis lost in a crash, still belongs to the caller if no other process has owned the role
-- since: the caller missed nothing. The roles of removed cameras share the field `removed` of `epochs`.
local function last_epoch(epochs, role)
  return tonumber(redis.call('HGET', epochs, role) or redis.call('HGET', epochs, 'removed') or '0') or 0
end

-- The value of a lease; false if there is none. A lease that does not end within two minutes, twice the longest one,
-- does not count: another program wrote it, or removed its end, and nobody could ever take over the role.
local function held_lease(lease)
  local left_ms = redis.call('PTTL', lease)
  return left_ms >= 0 and left_ms <= 120000 and redis.call('GET', lease)
end

local function owned(lease, epochs, role, value)
  local held = held_lease(lease)
  if held then return held == value end
  local epoch = tonumber(string.match(value, '^(%d+):'))
  return last_epoch(epochs, role) <= epoch
end

-- Extends the lease of a role if the caller still owns it, or takes back an expired one; returns whether it did.
local function renewed(lease, epochs, role, value, ttl_ms)
  if not owned(lease, epochs, role, value) then return false end
  redis.call('HSET', epochs, role, string.match(value, '^(%d+):'))
  redis.call('SET', lease, value, 'PX', ttl_ms)
  return true
end

