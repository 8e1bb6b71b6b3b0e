-- Runs commands while the caller owns its lease, all or none; see the prelude for what counts as owned.
-- KEYS[1] lease, KEYS[2] epochs, KEYS[3…] every key touched; ARGV[1] the lease's whole value, ARGV[2] role, ARGV[3] the
-- lease's time to live in ms, or 0 to leave the lease as it is; ARGV[4] msgpack list of commands, each a list of strings.
-- Returns 1, or 0 when the lease is lost, or {key, problem, found, key, problem, found, …} when commands would fail. In
-- the last two cases nothing was done. A problem is one of
--   type     the key has the type `found`
--   id       the last id of the stream, `found`, is not below that of the command
--   number   a field of the hash, `found`, is not an integer
--   length   the string has only `found` bytes, so that SETRANGE would leave a hole
-- The command CUT key id is not of Redis: it deletes the entries of a stream after an id, so that others can follow it.
-- A script that fails half-way keeps what it has written, so everything that can fail is checked first. Redis itself
-- refuses a script for lack of memory or disk space at its first write only.
local lease, epochs, value, role, ttl_ms = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])
if not owned(lease, epochs, role, value) then return 0 end

-- The type that a command requires. Commands that are not listed work on every type, or the caller knows the type.
local TYPES = {HSET = 'hash', HDEL = 'hash', HINCRBY = 'hash', XADD = 'stream', XDEL = 'stream', XTRIM = 'stream',
  SETRANGE = 'string', CUT = 'stream'}
local LAST_ID = '18446744073709551615-18446744073709551615'

local function last_id(stream)
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
end

-- The id of an XADD, which comes after its options.
local function id_of(command)
  local i = 3
  while command[i] == 'MAXLEN' or command[i] == 'MINID' do
    i = i + ((command[i + 1] == '~' or command[i + 1] == '=') and 3 or 2)
  end
  return command[i]
end

-- The last id of a stream once the entries after `id` are deleted.
local function id_before(stream, id)
  local newest = redis.call('XREVRANGE', stream, id, '-', 'COUNT', 1)
  return #newest > 0 and newest[1][1] or '0-0'
end

local types, ids, cleared, problems = {}, {}, {}, {}

-- Notes why a command would fail. A key is noted once.
local function check(command)
  local name, key = command[1], command[2]
  local wanted = TYPES[name]
  if name == 'DEL' then
    for i = 2, #command do types[command[i]], ids[command[i]] = 'none', nil end
  end
  if name == 'HDEL' then
    for i = 3, #command do cleared[key .. ' ' .. command[i]] = true end
  end
  if not wanted or types[key] == 'unusable' then return end
  types[key] = types[key] or redis.call('TYPE', key).ok
  local problem, found
  if types[key] ~= 'none' and types[key] ~= wanted then
    problem, found = 'type', types[key]
  elseif name == 'XADD' then
    local id = id_of(command)
    ids[key] = ids[key] or types[key] == 'none' and '0-0' or last_id(key)
    if not is_below(ids[key], id == '*' and LAST_ID or id) then
      problem, found = 'id', ids[key]
    elseif id ~= '*' then
      ids[key] = id
    end
  elseif name == 'CUT' then
    ids[key] = types[key] == 'none' and '0-0' or id_before(key, command[3])
  elseif name == 'SETRANGE' then
    local length = redis.call('STRLEN', key)
    if length < tonumber(command[3]) then problem, found = 'length', tostring(length) end
  elseif name == 'HINCRBY' then
    local number = redis.call('HGET', key, command[3])
    if number and not cleared[key .. ' ' .. command[3]] and not (string.match(number, '^-?%d+$') and #number < 18) then
      problem, found = 'number', command[3]
    end
  end
  if problem then
    types[key] = 'unusable'
    for _, part in ipairs({key, problem, found}) do problems[#problems + 1] = part end
  end
end

-- Deletes the entries of a stream after `id`. The others are written again, because Redis 7.2 and later never set the
-- last id of a stream below that of a deleted entry. An entry with more fields than `unpack` takes is foreign.
local function cut(stream, id)
  local kept = redis.call('XRANGE', stream, '-', id)
  redis.call('DEL', stream)
  for _, entry in ipairs(kept) do
    if #entry[2] <= 7000 then redis.call('XADD', stream, entry[1], unpack(entry[2])) end
  end
end

local commands = cmsgpack.unpack(ARGV[4])
for _, command in ipairs(commands) do check(command) end
if #problems > 0 then return problems end
if ttl_ms > 0 then renewed(lease, epochs, role, value, ttl_ms) end
for _, command in ipairs(commands) do
  if command[1] == 'CUT' then cut(command[2], command[3]) else redis.call(unpack(command)) end
end
return 1
