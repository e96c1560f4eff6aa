-- Seventh part of the library: build a generation beside the current one, switch to it, delete retired ones.
--
-- `rta_build_v6` writes its totals, with the same code as `rta_apply_v6`. The shard's record names the current generation
-- (`generation`) and the one being built (`building`). `retired` lists the others, and when they may be deleted.
-- Each function compares first, and then makes only writes that cannot fail.

local KEPT_SECONDS = 24 * 3600 -- so long a generation that was current is kept, unchanged

local function read_field(shard_key, name)
  return redis.call('HGET', shard_key, name) or ''
end

local function read_now_s()
  return tonumber(redis.call('TIME')[1])
end

-- The generation is neither current nor being built any more: from second `due` on its keys may be deleted.
local function retire(root, generation, due)
  if generation ~= '' then redis.call('HSET', root .. 'retired', generation, due) end
end

-- Begin to build `generation` if `expected` is being built (empty: none). An empty `generation` only drops that one.
-- Args: expected, generation, schema, shards, then the manifest's pairs. Returns the generation being built now.
local function begin_building(keys, args)
  local root, expected, generation = find_prefix(keys[1]), args[1], args[2]
  local building = read_field(keys[1], 'building')
  if building ~= expected then return building end
  retire(root, building, 0)
  if generation == '' then
    redis.call('HDEL', keys[1], 'building')
  else
    redis.call('HSET', root .. generation .. ':manifest', 'schema', args[3], 'shards', args[4], unpack(args, 5))
    redis.call('HSET', keys[1], 'building', generation)
  end
  return generation
end

local function read_next_offset(row)
  return tonumber(string.match(row or '', '^(%d+)|'))
end

-- Returns the ids of the topics in the manifest as a set, and the offset at which each partition begins.
local function read_manifest(base)
  local ids, starts = {}, {}
  local entries = redis.call('HGETALL', base .. 'manifest')
  for i = 1, #entries, 2 do
    local place = string.match(entries[i], '^start:(.*)$')
    if place then starts[place] = tonumber(entries[i + 1]) end
    if string.sub(entries[i], 1, 6) == 'topic:' then ids[entries[i + 1]] = true end
  end
  return ids, starts
end

-- List the partitions in which the generation `old` has counted further than the new one. These rows do not matter: rows
-- of topics that no longer exist, rows in `lost` (the log ends before them), and a ledger that is lost or overwritten.
local function find_behind(root, old, base, lost)
  local ledger, places = root .. old .. ':ledger', {}
  if redis.call('TYPE', ledger).ok ~= 'hash' then return places end
  local ids, starts = read_manifest(base)
  local rows = redis.call('HGETALL', ledger)
  for i = 1, #rows, 2 do
    local place, row = rows[i], rows[i + 1]
    local new = read_next_offset(redis.call('HGET', base .. 'ledger', place)) or starts[place] or 0
    local is_counted = ids[string.match(place, '^(.*):%d+$')] and lost[place] ~= row
    if is_counted and (read_next_offset(row) or 0) > new then places[#places + 1] = place end
  end
  return places
end

-- Put a tombstone in the place of a person's value. An empty value: another id of somebody, which only leaves the online set.
local function put_tombstone(base, project, id, value)
  redis.call('ZREM', base .. 'online:' .. project, id)
  if value ~= '' then redis.call('HSET', base .. 'person:' .. project, id, value) end
end

-- Make the built generation current, unless it is behind. Args: the expected current generation, the built one, then
-- place, row, … of ledger rows whose records the log has lost.
-- Returns OK, or MOVED with current and building, or TORN with the call, or BEHIND with places.
local function switch(keys, args)
  local root, expected, generation = find_prefix(keys[1]), args[1], args[2]
  local current, building = read_field(keys[1], 'generation'), read_field(keys[1], 'building')
  if current ~= expected or building ~= generation or generation == '' then return {'MOVED', current, building} end
  local base = root .. building .. ':'
  local torn = redis.call('GET', base .. 'inflight')
  if torn then return {'TORN', torn} end
  local lost = {}
  for i = 3, #args, 2 do lost[args[i]] = args[i + 1] end
  local places = find_behind(root, current, base, lost)
  if #places > 0 then return {'BEHIND', unpack(places, 1, math.min(#places, CHUNK))} end
  -- Persons who were erased after the rebuild had passed that place of the log. Each field is an id and a project.
  local erasing = redis.call('HGETALL', base .. 'erasing')
  for i = 1, #erasing, 2 do
    put_tombstone(base, string.sub(erasing[i], 9), string.sub(erasing[i], 1, 8), erasing[i + 1])
  end
  local manifest = redis.call('HMGET', base .. 'manifest', 'schema', 'shards')
  redis.call('HSET', keys[1], 'schema', manifest[1], 'shards', manifest[2], 'generation', generation)
  redis.call('HDEL', keys[1], 'building')
  retire(root, current, read_now_s() + KEPT_SECONDS)
  -- The stops were those of the old generation. Workers check again, and record a stop that still holds.
  redis.call('DEL', root .. 'stops', base .. 'control', base .. 'erasing')
  redis.call('PUBLISH', root .. 'moved', '')
  return {'OK'}
end

-- Apply an erasure record of rta.control to the generation being built: put tombstones in the place of these persons, and
-- advance the position in that log. A record before that position changes nothing.
-- Args: generation, place, upto, project, then id, token and value, … Returns OK or MOVED.
local function erase(keys, args)
  local root, generation, place, upto, project = find_prefix(keys[1]), unpack(args, 1, 4)
  local base = root .. generation .. ':'
  if read_field(keys[1], 'building') ~= generation then return 'MOVED' end
  if tonumber(redis.call('HGET', base .. 'control', place) or '0') >= tonumber(upto) then return 'OK' end
  for i = 5, #args, 2 do put_tombstone(base, project, args[i], args[i + 1]) end
  redis.call('HSET', base .. 'control', place, upto)
  return 'OK'
end

-- Delete keys of a retired generation that is due, by their names below its prefix. Without names no keys are left: the
-- generation leaves the list. Returns 0 and does nothing if it is not due, current or being built.
local function clean(keys, args)
  local root, generation = find_prefix(keys[1]), args[1]
  local due = redis.call('HGET', root .. 'retired', generation)
  if not due or tonumber(due) > read_now_s() then return 0 end
  if read_field(keys[1], 'generation') == generation or read_field(keys[1], 'building') == generation then return 0 end
  for i = 2, #args do redis.call('UNLINK', root .. generation .. ':' .. args[i]) end
  if #args == 1 then redis.call('HDEL', root .. 'retired', generation) end
  return 1
end

redis.register_function('rta_begin_building_v1', begin_building)
redis.register_function('rta_switch_v1', switch)
redis.register_function('rta_erase_v2', erase)
redis.register_function('rta_clean_v1', clean)
