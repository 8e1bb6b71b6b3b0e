-- What the newest entries of cameras say about tracks.
-- KEYS: tracks:{camera} of any number of cameras. ARGV[1] how many entries of each are looked at.
-- Returns {Redis time in ms, then for each camera a list}: its entries, newest first, up to and including the first that
-- may have a picture. An entry is {id, time_ns, n, payload}. The payload, which may be bulky, is left out of the newest
-- entry if that has tracks; otherwise it tells whether there was a picture, and which tracks were seen and have ended.
local time = redis.call('TIME')
local answer = {time[1] * 1000 + math.floor(time[2] / 1000)}
-- The key `width` and the number 0 in msgpack. Redis' own cmsgpack cannot read the arrays beside them (type bin).
local NO_PICTURE = '\165width\0'

for i, key in ipairs(KEYS) do
  local rows, before, found = {}, '+', false
  while #rows < tonumber(ARGV[1]) and not found do
    local entries = redis.pcall('XREVRANGE', key, before, '-', 'COUNT', 1)
    if entries.err or not entries[1] then break end
    local id, fields, entry = entries[1][1], entries[1][2], {}
    for j = 1, #fields, 2 do entry[fields[j]] = fields[j + 1] end
    local n, payload = entry.n or '', entry.payload or ''
    found = n ~= '0' or not string.find(payload, NO_PICTURE, 1, true)
    rows[#rows + 1] = {id, entry.time_ns or '', n, (#rows > 0 or n == '0') and payload or ''}
    before = '(' .. id
  end
  answer[i + 1] = rows
end
return answer
