-- One step of the clock. KEYS[8] lease:clock, KEYS[9] epochs, ARGV[3] its value, ARGV[4] origin in µs of Redis time,
-- ARGV[5] fps, ARGV[6] stall in ms, ARGV[7] 1 at the first step after a pause, ARGV[8] the time in µs that the caller
-- expects, or 0, ARGV[9] by how much it may differ, µs. Returns {1, whether the tick is new, tick, gate, skew, number of
-- stalled cameras, cameras that stalled at this step…}, {0} if the lease is lost, or {2} if the time is not as expected:
-- then nothing was done, because Redis's clock may have been set.
if not owned(KEYS[8], KEYS[9], 'clock', ARGV[3]) then return {0} end
local origin_us, fps, stall_ms, resumed = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1'
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local ms = math.floor(now_us / 1000)
local expected_us = tonumber(ARGV[8])
if expected_us > 0 and math.abs(now_us - expected_us) > tonumber(ARGV[9]) then return {2} end
local old_tick = current_tick()
local old_gate = gate_at(old_tick)

-- Names that another program has written may be thousands, more than `unpack` can return.
local MOST_NAMED = 1000
local tick, stalled = old_tick, {}
if VIRTUAL then
  tick = math.max(old_tick, math.min(old_gate, old_tick + 1))
else
  -- A camera that had nothing to do until now is not late, and none is late after a pause of the clock or of Redis.
  local idle_from = resumed and '-inf' or math.min(old_tick, old_gate)
  for _, camera in ipairs(redis.call('ZRANGEBYSCORE', SEEN, idle_from, '+inf')) do
    redis.call('ZADD', MARKED_AT, ms, camera)
  end
  for _, camera in ipairs(redis.call('ZRANGEBYSCORE', SEEN, '-inf', '(' .. idle_from)) do
    local marked_at = tonumber(redis.call('ZSCORE', MARKED_AT, camera) or '0')
    if marked_at > ms then redis.call('ZADD', MARKED_AT, ms, camera) end
    if ms - marked_at >= stall_ms then
      redis.call('ZREM', SEEN, camera)
      if #stalled < MOST_NAMED and enabled(camera) then stalled[#stalled + 1] = camera end
    end
  end
  tick = math.floor((now_us - origin_us) * fps / 1e6 + 1e-6)
  -- A small step back is due to the clock being adjusted. A tick far in the future is damage.
  if old_tick - tick <= math.max(2, fps) then tick = math.max(old_tick, tick) end
end

local gate = gate_at(tick)
local time_ns = string.format('%.0f000', origin_us + tick * 1e6 / fps)
if tick ~= old_tick or gate ~= old_gate then
  redis.call('SET', TICK, string.format('%.0f', tick))
  publish(tick, time_ns, gate)
end

local slowest = redis.call('ZRANGE', SEEN, 0, 0, 'WITHSCORES')
local fastest = redis.call('ZREVRANGE', SEEN, 0, 0, 'WITHSCORES')
-- Stalled cameras were live before, are not live now, and have neither retired nor ended (that removes them from
-- clock:marked_at). Cameras that were removed or paused while their worker was dead do not count.
local missing = {}
for _, camera in ipairs(redis.call('ZRANGE', MARKED_AT, 0, -1)) do
  if not seen_by(camera, tick) then
    if enabled(camera) then
      missing[#missing + 1] = camera
    else
      redis.call('ZREM', MARKED_AT, camera)
    end
  end
end
table.sort(missing)
local skew = slowest[1] and math.max(0, math.min(tick, fastest[2]) - math.max(0, slowest[2])) or 0
redis.call('HSET', SKEW, 'tick', string.format('%.0f', tick), 'gate', string.format('%.0f', gate),
  'slowest', slowest[1] and (slowest[1] .. '@' .. slowest[2]) or '',
  'fastest', fastest[1] and (fastest[1] .. '@' .. fastest[2]) or '',
  'skew', string.format('%.0f', skew),
  'stalled', table.concat(missing, ' '))
redis.call('HSETNX', SKEW, 'skipped', '0')
return {1, tick > old_tick and 1 or 0, tick, gate, skew, #missing, unpack(stalled)}
