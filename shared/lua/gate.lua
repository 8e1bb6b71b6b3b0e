-- Prelude: the gate and the marks, that is, which tick a camera may start. Runs atomically inside Redis.
--
-- Keys (all of one site, so all in one Cluster slot)           type     what
--   clock:tick                                                 string   current tick
--   clock:ticks                                                stream   tick time_ns gate; wakes waiting processes
--   clock:seen                                                 zset     live camera → last handled tick
--   clock:marked_at                                            zset     camera → ms of its last mark
--   clock:skew                                                 hash     plain text for people; counter `skipped`
--   cameras                                                    hash     camera → JSON settings
--   cycles                                                     stream   the aggregator's cycles (virtual mode)
--   camera:{camera}                                            hash     state of one camera
--   lease:*                                                    string   epoch:random of the owner
--
-- Every script starts with: KEYS[1] clock:tick, KEYS[2] clock:ticks, KEYS[3] clock:seen, KEYS[4] clock:marked_at,
-- KEYS[5] clock:skew, KEYS[6] cameras, KEYS[7] cycles; ARGV[1] mode, ARGV[2] max_skew_ticks.
local TICK, TICKS, SEEN, MARKED_AT, SKEW, CAMERAS, CYCLES = unpack(KEYS)
local VIRTUAL = ARGV[1] == 'virtual'
local LEAD = VIRTUAL and 1 or math.max(1, tonumber(ARGV[2]))
local TICKS_KEPT = 1000

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A whole number from text, or nil. What is read may have been written by anybody.
local LARGEST = 2 ^ 53
local function whole(text)
  local number = tonumber(text or nil)
  if number and number >= 0 and number < LARGEST and number == math.floor(number) then return number end
  return nil
end

local function current_tick()
  return whole(redis.call('GET', TICK)) or 0
end

-- The last tick that a camera has handled; nil if it takes no part in the clock. No camera is ahead of the clock.
local function seen_by(camera, tick)
  local seen = whole(redis.call('ZSCORE', SEEN, camera))
  if seen and seen <= (tick or current_tick()) then return seen end
  return nil
end

-- The camera:{camera} key beside clock:tick, under the same prefix.
local function camera_key(camera)
  return string.sub(TICK, 1, -#'clock:tick' - 1) .. 'camera:' .. camera
end

-- The tick of the camera's last entry, from any owner; nil before the first, or if it lies in the future.
local function last_written(camera, tick)
  local last = whole(redis.call('HGET', camera_key(camera), 'tick'))
  if last and last <= tick then return last end
  return nil
end

-- Whether settings are those of a camera that is not paused. Settings that cannot be read are those of none.
local function runs(settings)
  local ok, read = pcall(cjson.decode, settings or '')
  return ok and type(read) == 'table' and not read.paused
end

-- Whether the site has the camera and it is not paused.
local function enabled(camera)
  return runs(redis.call('HGET', CAMERAS, camera))
end

-- The tick up to which all live cameras have handled everything; the current tick if there is no live camera.
-- Virtual mode waits for every enabled camera that has not ended: nil while one has yet to join. The second result is
-- whether any camera takes part.
local function handled_by_cameras(tick)
  if not VIRTUAL then
    local slowest = redis.call('ZRANGE', SEEN, 0, 0, 'WITHSCORES')
    return math.min(tick, math.max(0, tonumber(slowest[2]) or tick)), slowest[2] ~= nil
  end
  local least, any = tick, false
  local settings = redis.call('HGETALL', CAMERAS)
  for i = 1, #settings, 2 do
    local camera = settings[i]
    if runs(settings[i + 1]) then
      local seen = seen_by(camera, tick)
      if seen then
        least, any = math.min(least, seen), true
      elseif redis.call('HGET', camera_key(camera), 'state') ~= 'ended' then
        return nil, true
      end
    end
  end
  return least, any
end

-- The tick of the aggregator's last cycle.
local function last_cycle()
  local cycle = redis.call('XREVRANGE', CYCLES, '+', '-', 'COUNT', 1)
  local fields = cycle[1] and cycle[1][2] or {}
  for i = 1, #fields, 2 do
    if fields[i] == 'tick' then return whole(fields[i + 1]) or 0 end
  end
  return 0
end

-- The highest tick that a camera may start.
-- In virtual mode the clock waits for the aggregator like for a camera, and does not advance without cameras.
local function gate_at(tick)
  local least, any = handled_by_cameras(tick)
  if not VIRTUAL then return least + LEAD end
  if not least or not any then return tick end
  return math.min(least, last_cycle()) + LEAD
end

-- The newest entry of clock:ticks that can be read: its id, time_ns and tick.
local function newest_tick()
  for _, entry in ipairs(redis.call('XREVRANGE', TICKS, '+', '-', 'COUNT', 10)) do
    local fields = entry[2]
    if fields[1] == 'tick' and whole(fields[2]) and fields[3] == 'time_ns' and string.match(fields[4], '^%d+$') then
      return entry[1], fields[4], whole(fields[2])
    end
  end
  return '0-0', '0', 0
end

local function last_time_ns()
  local _, time_ns = newest_tick()
  return time_ns
end

-- Appends to a stream. If its last id is the largest one possible, nothing can be appended any more, so it is emptied.
local function append(stream, ...)
  local added = redis.pcall('XADD', stream, ...)
  if type(added) == 'table' and added.err then
    if not string.find(added.err, 'last possible') and not string.find(added.err, 'equal or smaller') then
      return redis.call('XADD', stream, ...)
    end
    redis.call('DEL', stream)
    return redis.call('XADD', stream, ...)
  end
  return added
end

local function publish(tick, time_ns, gate)
  append(TICKS, 'MAXLEN', '~', TICKS_KEPT, '*', 'tick', string.format('%.0f', tick), 'time_ns', time_ns,
    'gate', string.format('%.0f', gate))
end

-- After marks: wakes the processes that may wait for the gate. In live mode, none waits if the gate was already at or
-- above the tick.
local function publish_if_moved(old_gate, tick)
  local gate = gate_at(tick)
  if gate ~= old_gate and (VIRTUAL or old_gate < tick) then
    publish(tick, last_time_ns(), gate)
  end
  return gate
end

-- Marks that a camera has handled the tick `handled`. In live mode, a camera that is slower than the clock skips ticks,
-- so that it never falls further behind. A mark may be repeated, at a later tick. Returns the number of ticks skipped.
local function mark(camera, handled, tick, ms)
  local before = seen_by(camera, tick) or 0
  local stored = math.max(handled, before, VIRTUAL and 0 or tick - 1)
  redis.call('ZADD', SEEN, stored, camera)
  redis.call('ZADD', MARKED_AT, ms, camera)
  return stored - math.max(handled, before)
end
