-- When the newest pictures of cameras were published. Runs on the Redis that holds the pictures.
-- KEYS: frames:{camera} of any number of cameras. Returns {Redis time in ms, then for each camera the id of its newest
-- entry, or '' if there is none}.
local time = redis.call('TIME')
local answer = {time[1] * 1000 + math.floor(time[2] / 1000)}
for i, key in ipairs(KEYS) do
  local entries = redis.pcall('XREVRANGE', key, '+', '-', 'COUNT', 1)
  answer[i + 1] = not entries.err and entries[1] and entries[1][1] or ''
end
return answer
