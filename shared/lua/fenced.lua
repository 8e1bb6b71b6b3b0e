-- Runs commands while the caller holds its lease, all or none. An expired lease counts as held, and is taken up again,
-- while nobody else has owned the role since.
-- KEYS[1] lease, KEYS[2] epochs, KEYS[3…] every key touched; ARGV[1] the lease's whole value, ARGV[2] role, ARGV[3] the
-- lease's time to live in ms, ARGV[4] msgpack list of commands, each a list of strings.
-- Returns 1, or 0 when the lease is lost.
if not renewed(KEYS[1], KEYS[2], ARGV[2], ARGV[1], ARGV[3]) then return 0 end
for _, command in ipairs(cmsgpack.unpack(ARGV[4])) do
  redis.call(unpack(command))
end
return 1
