-- Makes a camera take part in the clock. KEYS[8] lease:camera:{camera}, KEYS[9] epochs; ARGV[3] camera, ARGV[4] lease
-- value, ARGV[5] the lease's time to live in ms; the lease is renewed.
-- Returns {1, tick, gate, last tick it counts as having handled} or {0} when the lease is lost.
if not renewed(KEYS[8], KEYS[9], 'camera:' .. ARGV[3], ARGV[4], ARGV[5]) then return {0} end
local camera, tick = ARGV[3], current_tick()
local old_gate = gate_at(tick)
-- After a takeover, the tick that the old owner did not finish must be handled, and no tick twice.
local seen = seen_by(camera, tick) or last_written(camera, tick) or -math.huge
if not VIRTUAL then
  seen = math.max(0, seen, tick - 1)
elseif seen < tick - 1 then
  seen = tick
end
redis.call('ZADD', SEEN, seen, camera)
redis.call('ZADD', MARKED_AT, now_ms(), camera)
return {1, tick, publish_if_moved(old_gate, tick), seen}
