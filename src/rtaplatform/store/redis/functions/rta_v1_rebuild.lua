-- The fifth part of the library: a generation that is built beside the one that is read; the switch; what is left behind.
--
-- Its totals are written by `rta_build_v4`, which is the same code as for the one that is read. The shard's record names
-- both, `generation` and `building`; `retired` says which others there are, and when they may go.
-- Each function compares first, and writes only what cannot fail.

local KEPT_SECONDS = 24 * 3600 -- a generation that was read stays so long, frozen

local function field(shard_key, name)
  return redis.call('HGET', shard_key, name) or ''
end

local function now()
  return tonumber(redis.call('TIME')[1])
end

-- It is neither read nor built any more: its keys may go from then on.
local function retire(root, generation, at)
  if generation ~= '' then redis.call('HSET', root .. 'retired', generation, at) end
end

-- Begin to build a generation, in place of `expected` (empty: none is being built). An empty name only drops that one.
-- Args: expected, generation, schema, shards, then the manifest's pairs. Returns the one that is being built now.
local function begin_building(keys, args)
  local root, expected, generation = prefix_of(keys[1]), args[1], args[2]
  local building = field(keys[1], 'building')
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

local function next_offset(row)
  return tonumber(string.match(row or '', '^(%d+)|'))
end

-- The topics that the manifest counts, as a set of ids, and where each partition begins.
local function manifest_of(base)
  local ids, starts = {}, {}
  local pairs_of = redis.call('HGETALL', base .. 'manifest')
  for i = 1, #pairs_of, 2 do
    local place = string.match(pairs_of[i], '^start:(.*)$')
    if place then starts[place] = tonumber(pairs_of[i + 1]) end
    if string.sub(pairs_of[i], 1, 6) == 'topic:' then ids[pairs_of[i + 1]] = true end
  end
  return ids, starts
end

-- Places where the generation `old` has counted more than the new one. Rows of topics that are no more do not matter,
-- nor those that the caller has seen (place → row): the log ends before them. Nor a ledger that is lost or overwritten.
local function behind(root, old, base, seen)
  local ledger, places = root .. old .. ':ledger', {}
  if redis.call('TYPE', ledger).ok ~= 'hash' then return places end
  local ids, starts = manifest_of(base)
  local rows = redis.call('HGETALL', ledger)
  for i = 1, #rows, 2 do
    local place, row = rows[i], rows[i + 1]
    local new = next_offset(redis.call('HGET', base .. 'ledger', place)) or starts[place] or 0
    local is_counted = ids[string.match(place, '^(.*):%d+$')] and seen[place] ~= row
    if is_counted and (next_offset(row) or 0) > new then places[#places + 1] = place end
  end
  return places
end

-- The generation that was built becomes the one that is read, if it is not behind. Args: expected current one, the one
-- built, then pairs of place and row. Answers OK; MOVED, current, building; TORN, by; BEHIND, place, …
local function switch(keys, args)
  local root, expected, generation = prefix_of(keys[1]), args[1], args[2]
  local current, building = field(keys[1], 'generation'), field(keys[1], 'building')
  if current ~= expected or building ~= generation or generation == '' then return {'MOVED', current, building} end
  local base = root .. building .. ':'
  local torn = redis.call('GET', base .. 'inflight')
  if torn then return {'TORN', torn} end
  local seen = {}
  for i = 3, #args, 2 do seen[args[i]] = args[i + 1] end
  local places = behind(root, current, base, seen)
  if #places > 0 then return {'BEHIND', unpack(places, 1, math.min(#places, CHUNK))} end
  local of = redis.call('HMGET', base .. 'manifest', 'schema', 'shards')
  redis.call('HSET', keys[1], 'schema', of[1], 'shards', of[2], 'generation', generation)
  redis.call('HDEL', keys[1], 'building')
  retire(root, current, now() + KEPT_SECONDS)
  -- The workers look again at what stood still in the old one, and say so where it still does.
  redis.call('DEL', root .. 'stops', base .. 'control')
  redis.call('PUBLISH', root .. 'moved', '')
  return {'OK'}
end

-- A record of rta.control in the generation that is built: persons leave what is kept of single ones, and the place in
-- that log moves with it. What was read before changes nothing: who was erased may have been seen again since.
-- Args: generation, place, upto, project, person, … Answers OK or MOVED.
local function erase(keys, args)
  local root, generation, place, upto, project = prefix_of(keys[1]), unpack(args, 1, 4)
  local base = root .. generation .. ':'
  if field(keys[1], 'building') ~= generation then return 'MOVED' end
  if tonumber(redis.call('HGET', base .. 'control', place) or '0') >= tonumber(upto) then return 'OK' end
  for i = 5, #args, CHUNK do
    local j = math.min(i + CHUNK - 1, #args)
    redis.call('ZREM', base .. 'online:' .. project, unpack(args, i, j))
    redis.call('HDEL', base .. 'person:' .. project, unpack(args, i, j))
  end
  redis.call('HSET', base .. 'control', place, upto)
  return 'OK'
end

-- Delete some keys of a retired generation whose time has come, by their names below it; without names: there are no
-- more, forget it. Refused (0) for one that is read or built, whatever the caller believes.
local function clean(keys, args)
  local root, generation = prefix_of(keys[1]), args[1]
  local at = redis.call('HGET', root .. 'retired', generation)
  if not at or tonumber(at) > now() then return 0 end
  if field(keys[1], 'generation') == generation or field(keys[1], 'building') == generation then return 0 end
  for i = 2, #args do redis.call('UNLINK', root .. generation .. ':' .. args[i]) end
  if #args == 1 then redis.call('HDEL', root .. 'retired', generation) end
  return 1
end

redis.register_function('rta_begin_building_v1', begin_building)
redis.register_function('rta_switch_v1', switch)
redis.register_function('rta_erase_v1', erase)
redis.register_function('rta_clean_v1', clean)
