-- The newest entries of cameras, as far as they matter for which tracks to show.
-- KEYS: tracks:{camera} of any number of cameras. ARGV[1] maximum number of entries to read of each.
-- Returns {Redis time in ms, then for each camera a list}: its entries, newest first, up to and including the first that
-- may have a picture. An entry is {id, time_ns, n, payload}. The payload may be large and is '' for the newest entry if
-- that has tracks; otherwise it is needed for whether there was a picture, and which tracks were seen and have ended.
local time = redis.call('TIME')
local answer = {time[1] * 1000 + math.floor(time[2] / 1000)}
-- The key `width` with the value 0 in msgpack. Searched as bytes, because Redis' cmsgpack cannot parse the arrays next to
-- it (type bin).
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
