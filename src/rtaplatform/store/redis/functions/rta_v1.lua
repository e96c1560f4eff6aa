#!lua name=rta_v1
-- The writes of a shard, each one atomic call.   Stage 4 of 6: process → [store] → analytics.
-- First part of the library: steps 1 (compare) and 2 (validate) of `apply`. They write nothing.
-- The second part adds to counters, the third has the orders, the fourth the persons, the fifth writes everything else.
--
-- A Redis function is isolated, but not all-or-nothing: an error after the first write leaves the earlier writes.
-- So `apply` compares and validates everything first. Then it sets a marker, makes only writes that cannot fail
-- (increments through pcall), advances the ledger and clears the marker. A marker that is still set means that a bug of
-- this code left a batch partially applied, or that a key was damaged. No retry repairs either.
--
-- KEYS[1] is `rta:{sNN}:shard`. All other keys are built from its prefix, so no payload can leave the shard.
-- `root` is the prefix of the shard's keys, `base` the prefix of one generation's keys below it.
-- Numbers over 2^53 are not exact in Lua. They travel as text, and Redis adds them, not this code.
-- If all increments of a list are numbers, its fields differ from each other (store/redis/apply_payload.py).
--
-- The payload is MessagePack (docs/reference/store.md). Its entries are lists, by position:
--   move    1 partition, 2 expected ledger row, 3 new row
--   block   1 name, 2 expected token, 3 new token, 4 last write (8 bytes), 5 ids, 6 last write (ms), 7 index, 8 replace?
--   set     1 name, 2 index, 3 loose ids, 4 expected times, 5 new times
--   orders  1 project, 2 order ids, 3 expected times, 4 new times
--   persons 1 project, 2 persons, 3 their expected tokens (one text), 4 their new tokens with the values
--   cells   1 name, 2 expiry, 3 seats, 4 field, increment, …, 5 has a change log?, 6 rollup
--   group   1 name, 2 expiry, 3 dimension, 4 name and 5 expiry of the record of persons, 6 value, persons, …,
--           7 bytes from which on no value gets a new sketch, 8 sizes
--   online  1 project, 2 oldest time to keep, 3 expiry, 4 time, person, …, 5 persons that leave, if any

local CHUNK = 1000 -- unpack() fails near 4,000 values, and earlier writes would stay
local KEY_MAX = 1024
local SKETCH_BYTES = 12304 -- of a dense HyperLogLog
local EXACT = 9007199254740992 -- 2^53

local function find_prefix(shard_key)
  local prefix = string.match(shard_key, '^(rta:{s%d+}:)shard$')
  if not prefix then error('not a shard key') end
  return prefix
end

local function visit_chunks(list, first, visit)
  for i = first, #list, CHUNK do visit(i, math.min(i + CHUNK - 1, #list)) end
end

-- 1 compare -------------------------------------------------------------------------------------------------------

local function make_moved_reply(ledger, generation, moves)
  local reply = {'MOVED', generation}
  for _, move in ipairs(moves) do
    reply[#reply + 1] = move[1]
    reply[#reply + 1] = redis.call('HGET', ledger, move[1]) or ''
  end
  return reply
end

local function differs_from_ledger(ledger, moves)
  for _, move in ipairs(moves) do
    if (redis.call('HGET', ledger, move[1]) or '') ~= move[2] then return true end
  end
  return false
end

-- Whether any id of a set has another time than expected; -1 means that the id is absent.
local function differs_in_loose_ids(base, set)
  local ids, expected = set[3], set[4]
  for first = 1, #ids, CHUNK do
    local times = redis.call('ZMSCORE', base .. 'i:' .. set[1], unpack(ids, first, math.min(first + CHUNK - 1, #ids)))
    for j = 1, #times do
      if (times[j] and tonumber(times[j]) or -1) ~= expected[first + j - 1] then return true end
    end
  end
  return false
end

-- `orders` and `persons`: those that differ, as the third part and the fourth find them.
local function find_conflicts(root, base, batch, orders, persons)
  local blocks, replayed, loose = {}, {}, {}
  for i, block in ipairs(batch.blocks) do
    if redis.call('GETRANGE', base .. 'b:' .. block[1], 0, 7) ~= block[2] then blocks[#blocks + 1] = i - 1 end
  end
  for i, set in ipairs(batch.loose) do
    if differs_in_loose_ids(base, set) then loose[#loose + 1] = i - 1 end
  end
  for i, origin in ipairs(batch.replayed) do
    if not redis.call('ZSCORE', base .. 'dead', origin) then replayed[#replayed + 1] = i - 1 end
  end
  local version = redis.call('HGET', root .. 'projects', ':version') or ''
  local projects = (batch.projects_version and batch.projects_version ~= version) and 1 or 0
  if #blocks + #persons + #replayed + #loose + #orders + projects == 0 then return nil end
  return {'CONFLICT', blocks, persons, replayed, projects, loose, orders}
end

-- 2 validate ------------------------------------------------------------------------------------------------------

local function is_text(value, longest) return type(value) == 'string' and #value <= longest end

local function is_token(value) return type(value) == 'string' and #value == 8 end

-- Whether n is a whole number within ±2^62: a Lua number up to 2^53, text beyond.
local function is_increment(n)
  if type(n) == 'number' then return n == math.floor(n) and n >= -EXACT and n <= EXACT end
  if type(n) ~= 'string' or not string.find(n, '^-?[1-9]%d*$') then return false end
  local digits = string.gsub(n, '-', '')
  return #digits < 19 or (#digits == 19 and digits <= '4611686018427387904')
end

local function is_time(n) return type(n) == 'number' and n == math.floor(n) and n >= 0 and n <= EXACT end

local function check(condition, what) if not condition then error({invalid = what}) end end

-- Fail if the key has another type: that is damage, which no retry repairs. Returns whether the key exists.
local function check_type(key, expected)
  check(is_text(key, KEY_MAX), 'key')
  local key_type = redis.call('TYPE', key).ok
  if key_type ~= 'none' and key_type ~= expected then error({damaged = key}) end
  return key_type ~= 'none'
end

-- Goes by index, as `write` does: ipairs would stop at a hole.
local function check_list(list, is_right, what)
  check(type(list) == 'table', what)
  for i = 1, #list do check(is_right(list[i]), what) end
end

local function check_pairs(list, is_first, is_second, what)
  check(type(list) == 'table' and #list % 2 == 0, what)
  for i = 1, #list, 2 do check(is_first(list[i]) and is_second(list[i + 1]), what) end
end

local function is_name(value) return is_text(value, 8192) end

-- The longest of all lists. Entries that are right are checked without a function call each.
local function check_increments(list)
  check(type(list) == 'table' and #list % 2 == 0, 'cells')
  for i = 1, #list, 2 do
    local field, n = list[i], list[i + 1]
    if type(field) ~= 'string' or #field > 8192 then check(false, 'cells') end
    if type(n) ~= 'number' or n % 1 ~= 0 or n < -EXACT or n > EXACT then
      check(is_increment(n), 'cells')
    end
  end
end

-- A list of time, person, … It is as long, and is checked in the same way.
local function check_online(list)
  check(type(list) == 'table' and #list % 2 == 0, 'online')
  for i = 1, #list, 2 do
    local time, person = list[i], list[i + 1]
    if type(time) ~= 'number' or time % 1 ~= 0 or time < 0 or time > EXACT then check(false, 'online') end
    if type(person) ~= 'string' or #person > 8192 then check(false, 'online') end
  end
end

-- A list of persons, or a ready HyperLogLog. The list is checked without a function call per entry.
local function check_persons(list)
  if type(list) == 'string' then
    return check(#list == SKETCH_BYTES and string.sub(list, 1, 5) == 'HYLL\0', 'sketches')
  end
  check(type(list) == 'table', 'sketches')
  for i = 1, #list do
    if type(list[i]) ~= 'string' or #list[i] > 64 then check(false, 'sketches') end
  end
end

-- The key of a bucket's sketch, or of the sketch of the value at position i of a group.
local function make_sketch_key(group, i)
  return 'p:' .. (group[3] ~= '' and (group[1] .. ':' .. group[6][i]) or group[1])
end

-- Like `check_type` for a string that is never empty, at half the cost: a call has thousands of them. Returns its size
-- in bytes, 0 if it does not exist.
local function measure_sketch(key)
  check(is_text(key, KEY_MAX), 'key')
  local size = redis.pcall('STRLEN', key)
  if type(size) == 'number' then return size end
  error(string.find(size.err, '^WRONGTYPE') and {damaged = key} or size)
end

local function is_table(value) return type(value) == 'table' end

-- Rollup → its anchor, and for each dimension whether all values are bounded, or a list of them. Lists become sets.
local function check_rules(rules)
  check(is_table(rules), 'rules')
  for _, rule in pairs(rules) do
    check(is_table(rule) and is_text(rule[1], 64) and is_table(rule[2]), 'rules')
    for i, bounded in ipairs(rule[2]) do
      check(type(bounded) == 'boolean' or is_table(bounded), 'rules')
      if type(bounded) == 'table' then
        local names = {}
        for _, name in ipairs(bounded) do names[name] = true end
        rule[2][i] = names
      end
    end
  end
end

local function check_cells(base, cells)
  check_type(base .. 'c:' .. cells[1], 'hash')
  check(is_time(cells[2]) and is_time(cells[3]) and type(cells[5]) == 'boolean' and is_text(cells[6], 64), 'cells')
  check_increments(cells[4])
end

local function check_sketches(base, group, bytes_max)
  check(is_text(group[1], KEY_MAX) and is_time(group[2]) and is_text(group[3], 64), 'sketches')
  check(is_time(group[5]) and is_table(group[6]) and #group[6] % 2 == 0, 'sketches')
  check_type(base .. 'c:' .. group[4], 'hash')
  if group[3] ~= '' then check_type(base .. 'px:' .. group[1], 'set') end
  group[7] = group[7] or bytes_max -- an older worker sends one limit for all groups
  check(is_time(group[7]), 'sketches')
  group[8] = {} -- the sizes of the sketches in bytes
  for i = 1, #group[6], 2 do
    check(is_text(group[6][i], 512), 'sketches')
    check_persons(group[6][i + 1])
    group[8][i] = measure_sketch(base .. make_sketch_key(group, i))
  end
end

-- Ids with expected and new times: as long as the lists of increments, and checked in the same way.
local function check_ids(ids, expected, written, what)
  check(is_table(ids) and is_table(expected) and is_table(written), what)
  check(#ids == #expected and #ids == #written, what)
  for i = 1, #ids do
    local id, before, after = ids[i], expected[i], written[i]
    if type(id) ~= 'string' or #id ~= 8 then check(false, what) end
    if type(before) ~= 'number' or before % 1 ~= 0 or before < -1 or before > EXACT then check(false, what) end
    if type(after) ~= 'number' or after % 1 ~= 0 or after < -1 or after > EXACT then check(false, what) end
  end
end

local function check_loose(base, set)
  check(is_text(set[1], KEY_MAX) and is_text(set[2], KEY_MAX), 'loose')
  check_type(base .. 'i:' .. set[1], 'zset')
  check_type(base .. 'bx:' .. set[2], 'zset')
  check_ids(set[3], set[4], set[5], 'loose')
end

local function validate(base, batch)
  for _, part in ipairs({'moves', 'cells', 'sketches', 'online', 'blocks', 'loose', 'persons'}) do
    check_list(batch[part], is_table, part)
  end
  for _, move in ipairs(batch.moves) do
    check(is_text(move[1], 128) and is_text(move[2], 256) and is_text(move[3], 256) and #move[3] > 0, 'moves')
  end
  check_rules(batch.rules)
  for _, cells in ipairs(batch.cells) do check_cells(base, cells) end
  for _, group in ipairs(batch.sketches) do check_sketches(base, group, batch.sketch_bytes) end
  for _, online in ipairs(batch.online) do
    check_type(base .. 'online:' .. online[1], 'zset')
    check(is_time(online[2]) and is_time(online[3]), 'online')
    check_online(online[4])
    if online[5] then check_list(online[5], is_name, 'online') end
  end
  for _, block in ipairs(batch.blocks) do
    check_type(base .. 'b:' .. block[1], 'string')
    check(is_token(block[3]) and is_token(block[4]) and is_time(block[6]), 'blocks')
    check(type(block[5]) == 'string' and #block[5] % 8 == 0 and type(block[8]) == 'boolean', 'blocks')
    check(is_text(block[1], KEY_MAX) and is_text(block[7], KEY_MAX), 'blocks')
    check_type(base .. 'bx:' .. block[7], 'zset')
  end
  for _, set in ipairs(batch.loose) do check_loose(base, set) end
  check_type(base .. 'dead', 'zset')
  check_type(base .. 'counts', 'hash')
  check_type(base .. 'ledger', 'hash')
  check_pairs(batch.dead, is_time, is_name, 'dead')
  check_pairs(batch.counts, is_name, is_increment, 'counts')
  check_list(batch.replayed, is_name, 'replayed')
  check_list(batch.projects, is_name, 'projects')
  check_pairs(batch.expired, is_name, is_time, 'expired')
  for i = 1, #batch.expired, 2 do check_type(base .. 'bx:' .. batch.expired[i], 'zset') end
  check(is_time(batch.dead_before) and is_time(batch.sketch_bytes) and is_text(batch.call, 64), 'payload')
end
