-- A camera takes part from now on. KEYS[8] lease:camera:{camera}; ARGV[3] camera, ARGV[4] lease value.
-- Returns {1, tick, gate, last tick it counts as having handled} or {0} when the lease is lost.
if redis.call('GET', KEYS[8]) ~= ARGV[4] then return {0} end
local camera, tick = ARGV[3], current_tick()
local old_gate = gate_at(tick)
if VIRTUAL then
  -- After a takeover the tick that the old owner left undone is still to be handled.
  redis.call('ZADD', SEEN, seen_by(camera) or tick, camera)
else
  redis.call('ZADD', SEEN, math.max(0, tick - 1), camera)
end
redis.call('ZADD', MARKED_AT, now_ms(), camera)
return {1, tick, publish_if_moved(old_gate, tick), seen_by(camera)}
