-- A camera takes part no longer: at the end of its recording, when paused, on release. KEYS[8]
-- lease:camera:{camera}, KEYS[9] camera:{camera}; ARGV[3] camera, ARGV[4] lease value, ARGV[5] its new state.
-- Returns 1, or 0 when the lease is lost.
if redis.call('GET', KEYS[8]) ~= ARGV[4] then return 0 end
local camera, tick = ARGV[3], current_tick()
local old_gate = gate_at(tick)
redis.call('ZREM', SEEN, camera)
redis.call('ZREM', MARKED_AT, camera)
redis.call('HSET', KEYS[9], 'state', ARGV[5])
publish_if_moved(old_gate, tick)
return 1
