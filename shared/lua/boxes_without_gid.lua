-- How many of the boxes that are shown now have no global id.
-- KEYS: tracks:{camera} and gids:{camera} of any number of cameras. ARGV[1] maximum number of entries to search for an
-- old picture, then for each camera: id of the entry whose tracks are shown ('': none), id of the newest entry that
-- counts as old.
-- Returns for each camera: number of boxes; of these, without a gid; number of boxes of tracks that are in the newest
-- old picture, too; of these, without a gid.

-- The keys `track_id`, and `width` with the value 0, in msgpack. Searched as bytes, because Redis' cmsgpack cannot parse
-- arrays of type bin.
local TRACK_ID, NO_PICTURE = '\168track_id', '\165width\0'
local HEAD = {[196] = 1, [197] = 2, [198] = 4}
-- As many as `unpack` can return; a camera has 5,000 tracks at most.
local MOST = 5000

-- The track ids of a payload as decimal texts; little-endian int64 in the payload.
local function track_ids(payload)
  local ids, _, at = {}, string.find(payload, TRACK_ID, 1, true)
  local size = at and HEAD[string.byte(payload, at + 1) or 0]
  if not size or #payload < at + 1 + size then return ids end
  local length = 0
  for i = at + 2, at + 1 + size do length = length * 256 + string.byte(payload, i) end
  local first = at + 2 + size
  for i = first, math.min(first + length, first + 8 * MOST, #payload + 1) - 8, 8 do
    local value = 0
    for j = i + 7, i, -1 do value = value * 256 + string.byte(payload, j) end
    ids[#ids + 1] = string.format('%.0f', value)
  end
  return ids
end

local function payload_of(entry)
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'payload' then return entry[2][i + 1] end
  end
  return ''
end

local function old_picture(key, upto, most)
  for _ = 1, most do
    local entries = redis.pcall('XREVRANGE', key, upto, '-', 'COUNT', 1)
    if entries.err or not entries[1] then return '' end
    local payload = payload_of(entries[1])
    if not string.find(payload, NO_PICTURE, 1, true) then return payload end
    upto = '(' .. entries[1][1]
  end
  return ''
end

local answer = {}
for i = 1, #KEYS / 2 do
  local tracks, gids, shown, old = KEYS[2 * i - 1], KEYS[2 * i], ARGV[2 * i], ARGV[2 * i + 1]
  local entries = shown ~= '' and redis.pcall('XRANGE', tracks, shown, shown) or {}
  local ids = not entries.err and entries[1] and track_ids(payload_of(entries[1])) or {}
  local boxes, without, due, overdue = #ids, 0, 0, 0
  if boxes > 0 then
    local known, before = redis.pcall('HMGET', gids, unpack(ids)), {}
    for _, id in ipairs(track_ids(old_picture(tracks, old, tonumber(ARGV[1])))) do before[id] = true end
    for j, id in ipairs(ids) do
      local missing = (known.err or not known[j]) and 1 or 0
      without = without + missing
      if before[id] then due, overdue = due + 1, overdue + missing end
    end
  end
  answer[#answer + 1] = {boxes, without, due, overdue}
end
return answer
