-- Runs commands only while the caller still holds its lease, all or none. KEYS[1] lease, KEYS[2…] every key touched;
-- ARGV[1] the lease's whole value, ARGV[2] msgpack list of commands, each a list of strings.
-- Returns 1, or 0 when the lease is lost.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for _, command in ipairs(cmsgpack.unpack(ARGV[2])) do
  redis.call(unpack(command))
end
return 1
