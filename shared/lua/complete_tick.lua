-- A worker has handled a tick for some of its cameras: appends the track entries, marks the tick, returns what changed.
--
-- KEYS[8] assignments, KEYS[9] viewers, KEYS[10] epochs, then for each camera: lease:camera:{camera}, tracks:{camera},
-- camera:{camera}.
-- ARGV[3] tick, ARGV[4] cursor in assignments ($: only what is newer than now), ARGV[5] how long a viewer counts as
-- watching, ms, ARGV[6] schema, then for each camera: name, lease value, lease's time to live in ms, time_ns, n,
-- payload, maximum length of tracks:{camera}. The leases are renewed.
-- Returns {tick, gate, id of the newest entry of clock:ticks, time_ns of the tick, cursor, {lost cameras},
--          {camera, track_id, gid, …} of all cameras, {watched cameras}, skipped ticks}.
-- Called again with the same tick (after a lost connection) it appends nothing twice. Called without cameras it only
-- reports progress: it returns no gid changes and the unchanged cursor, except that $ becomes the newest id. If the
-- stream began anew, its entries are returned from the first on.
local FIXED_KEYS, FIXED_ARGS, KEYS_EACH, ARGS_EACH = 10, 6, 3, 7
local handled, cursor, schema = tonumber(ARGV[3]), ARGV[4], ARGV[6]
local tick, ms = current_tick(), now_ms()
local old_gate = gate_at(tick)
local lost, skipped = {}, 0

for i = 0, (#KEYS - FIXED_KEYS) / KEYS_EACH - 1 do
  local lease, tracks, state = unpack(KEYS, FIXED_KEYS + i * KEYS_EACH + 1, FIXED_KEYS + (i + 1) * KEYS_EACH)
  local camera, value, ttl_ms, time_ns, n, payload, longest =
    unpack(ARGV, FIXED_ARGS + i * ARGS_EACH + 1, FIXED_ARGS + (i + 1) * ARGS_EACH)
  if not renewed(lease, KEYS[10], 'camera:' .. camera, value, ttl_ms) then
    lost[#lost + 1] = camera
  else
    if whole(redis.call('HGET', state, 'seq')) == nil then redis.call('HDEL', state, 'seq') end
    if handled > (last_written(camera, tick) or -1) then
      append(tracks, 'MAXLEN', '~', longest, '*', 'schema', schema,
        'seq', string.format('%.0f', redis.call('HINCRBY', state, 'seq', 1)), 'camera', camera,
        'tick', string.format('%.0f', handled), 'time_ns', time_ns, 'n', n, 'payload', payload)
      redis.call('HSET', state, 'tick', string.format('%.0f', handled))
    end
    -- Mark even a tick that was handled before: the caller continues from here, and the gate must not wait for ticks
    -- that it skips.
    skipped = skipped + mark(camera, handled, tick, ms)
  end
end

if skipped > 0 then
  if whole(redis.call('HGET', SKEW, 'skipped')) == nil then redis.call('HDEL', SKEW, 'skipped') end
  redis.call('HINCRBY', SKEW, 'skipped', skipped)
end
local gate = publish_if_moved(old_gate, tick)

-- Changes of all cameras: the caller may own more cameras than those in this call.
local changes = {}
local newest = redis.call('XREVRANGE', KEYS[8], '+', '-', 'COUNT', 1)
local last = newest[1] and newest[1][1] or '0-0'
if cursor == '$' then
  cursor = last
elseif is_below(last, cursor) then
  cursor = '0-0' -- The stream began anew.
end
if #KEYS > FIXED_KEYS and is_below(cursor, last) then
  for _, entry in ipairs(redis.call('XRANGE', KEYS[8], '(' .. cursor, '+', 'COUNT', 1000)) do
    cursor = entry[1]
    local fields = entry[2]
    -- A missing field becomes '', because nil would shift the values of the following entries.
    for _, value in ipairs({fields[4] or '', fields[6] or '', fields[8] or ''}) do
      changes[#changes + 1] = value
    end
  end
end

local watched = redis.call('ZRANGEBYSCORE', KEYS[9], ms - tonumber(ARGV[5]), '+inf')
local ticks_cursor, time_ns = newest_tick()
return {tick, gate, ticks_cursor, time_ns, cursor, lost, changes, watched, skipped}
