-- Takes a camera out of the clock: at the end of its file, when it is paused, or on release. KEYS[8]
-- lease:camera:{camera}, KEYS[9] epochs, KEYS[10] camera:{camera}; ARGV[3] camera, ARGV[4] lease value, ARGV[5] the
-- lease's time to live in ms, ARGV[6] its new state. The lease is renewed.
-- Returns 1, or 0 when the lease is lost.
if not renewed(KEYS[8], KEYS[9], 'camera:' .. ARGV[3], ARGV[4], ARGV[5]) then return 0 end
local camera, tick = ARGV[3], current_tick()
local old_gate = gate_at(tick)
redis.call('ZREM', SEEN, camera)
redis.call('ZREM', MARKED_AT, camera)
redis.call('HSET', KEYS[10], 'state', ARGV[6])
publish_if_moved(old_gate, tick)
return 1
