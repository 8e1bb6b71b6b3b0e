-- Runs commands while the caller owns its lease, all or none; see the prelude for what counts as owned.
-- KEYS[1] lease, KEYS[2] epochs, KEYS[3…] every key touched; ARGV[1] the lease's whole value, ARGV[2] role, ARGV[3] the
-- lease's time to live in ms, or 0 to leave the lease as it is; ARGV[4] msgpack list of commands, each a list of strings.
-- Returns 1, or 0 when the lease is lost.
local lease, epochs, value, role, ttl_ms = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])
local mine = ttl_ms > 0 and renewed(lease, epochs, role, value, ttl_ms) or ttl_ms == 0 and owned(lease, epochs, role, value)
if not mine then return 0 end
for _, command in ipairs(cmsgpack.unpack(ARGV[4])) do
  redis.call(unpack(command))
end
return 1
