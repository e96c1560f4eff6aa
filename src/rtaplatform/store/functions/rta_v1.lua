#!lua name=rta_v1
-- The writes of a shard, each one atomic call.   Stage 4 of 6: process → [store] → analytics.
--
-- A function is isolated, but not all-or-nothing: an error after the first write leaves what was
-- written. So `apply` compares and validates everything first, then sets a marker, writes only what
-- cannot fail (increments through pcall), and clears the marker with the ledger's advance. A marker that is
-- still there tells of a batch torn by a bug of this very code; or of damage, which no retry mends.
--
-- Keys: KEYS[1] is `rta:{sNN}:shard`; all others are built from its prefix, so that no payload can
-- leave the shard. The payload is MessagePack; docs/reference/store.md describes it and the layout.
-- Numbers over 2^53 are not exact in Lua: they travel as text, and only what is within is added here.
-- The fields of one list differ from each other where all its increments are numbers (store/wire.py).

local CHUNK = 1000 -- unpack() fails near 4,000 values, after earlier writes
local KEY_MAX = 1024
local EXACT = 9007199254740992 -- 2^53

local function prefix_of(shard_key)
  local prefix = string.match(shard_key, '^(rta:{s%d+}:)shard$')
  if not prefix then error('not a shard key') end
  return prefix
end

local function each_chunk(list, first, visit)
  for i = first, #list, CHUNK do visit(i, math.min(i + CHUNK - 1, #list)) end
end

-- 1 compare -------------------------------------------------------------------------------------------------------

local function moved(ledger, generation, moves)
  local reply = {'MOVED', generation}
  for _, move in ipairs(moves) do
    reply[#reply + 1] = move[1]
    reply[#reply + 1] = redis.call('HGET', ledger, move[1]) or ''
  end
  return reply
end

local function ledger_differs(ledger, moves)
  for _, move in ipairs(moves) do
    if (redis.call('HGET', ledger, move[1]) or '') ~= move[2] then return true end
  end
  return false
end

local function conflicts(root, base, batch)
  local blocks, persons, replayed = {}, {}, {}
  for i, block in ipairs(batch.blocks) do
    if redis.call('GETRANGE', base .. 'b:' .. block[1], 0, 7) ~= block[2] then blocks[#blocks + 1] = i - 1 end
  end
  for i, person in ipairs(batch.persons) do
    local value = redis.call('HGET', base .. 'person:' .. person[1], person[2]) or ''
    if string.sub(value, 1, 8) ~= person[3] then persons[#persons + 1] = i - 1 end
  end
  for i, origin in ipairs(batch.replayed) do
    if not redis.call('ZSCORE', base .. 'dead', origin) then replayed[#replayed + 1] = i - 1 end
  end
  local version = redis.call('HGET', root .. 'projects', ':version') or ''
  local projects = (batch.projects_version and batch.projects_version ~= version) and 1 or 0
  if #blocks + #persons + #replayed + projects == 0 then return nil end
  return {'CONFLICT', blocks, persons, replayed, projects}
end

-- 2 validate ------------------------------------------------------------------------------------------------------

local function is_text(value, longest) return type(value) == 'string' and #value <= longest end

local function is_token(value) return type(value) == 'string' and #value == 8 end

-- A whole number within ±2^62: as a Lua number up to 2^53, as text beyond.
local function is_increment(n)
  if type(n) == 'number' then return n == math.floor(n) and n >= -EXACT and n <= EXACT end
  if type(n) ~= 'string' or not string.find(n, '^-?[1-9]%d*$') then return false end
  local digits = string.gsub(n, '-', '')
  return #digits < 19 or (#digits == 19 and digits <= '4611686018427387904')
end

local function is_time(n) return type(n) == 'number' and n == math.floor(n) and n >= 0 and n <= EXACT end

local function check(condition, what) if not condition then error({invalid = what}) end end

-- Another type under one of our keys is damage that no retry mends. Returns whether the key is there.
local function check_type(key, wanted)
  check(is_text(key, KEY_MAX), 'key')
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= wanted then error({damaged = key}) end
  return found ~= 'none'
end

-- By number, as `write` goes through it: ipairs would stop at a hole.
local function check_list(list, is_right, what)
  check(type(list) == 'table', what)
  for i = 1, #list do check(is_right(list[i]), what) end
end

local function check_pairs(list, is_first, is_second, what)
  check(type(list) == 'table' and #list % 2 == 0, what)
  for i = 1, #list, 2 do check(is_first(list[i]) and is_second(list[i + 1]), what) end
end

local function is_name(value) return is_text(value, 8192) end

-- The longest of all lists, looked at without a call an entry where it is as it should be.
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

-- As `check_list` would, without a call an entry.
local function check_persons(list)
  check(type(list) == 'table', 'sketches')
  for i = 1, #list do
    if type(list[i]) ~= 'string' or #list[i] > 64 then check(false, 'sketches') end
  end
end

-- Of a bucket, or of one value of a dimension in it.
local function sketch_key(group, i)
  return 'p:' .. (group[3] and (group[1] .. ':' .. group[4][i]) or group[1])
end

local function is_table(value) return type(value) == 'table' end

local function validate(base, batch)
  for _, part in ipairs({'moves', 'cells', 'sketches', 'online', 'blocks', 'persons'}) do
    check_list(batch[part], is_table, part)
  end
  for _, move in ipairs(batch.moves) do
    check(is_text(move[1], 128) and is_text(move[2], 256) and is_text(move[3], 256) and #move[3] > 0, 'moves')
  end
  for _, cells in ipairs(batch.cells) do
    check_type(base .. 'c:' .. cells[1], 'hash')
    check(is_time(cells[2]) and is_time(cells[3]), 'cells')
    check_increments(cells[4])
  end
  for _, group in ipairs(batch.sketches) do
    check(is_text(group[1], KEY_MAX) and is_time(group[2]) and type(group[3]) == 'boolean', 'sketches')
    check(is_table(group[4]) and #group[4] % 2 == 0, 'sketches')
    if group[3] then check_type(base .. 'px:' .. group[1], 'set') end
    group[5] = {} -- which of them are there
    for i = 1, #group[4], 2 do
      check(is_text(group[4][i], 512), 'sketches')
      check_persons(group[4][i + 1])
      group[5][i] = check_type(base .. sketch_key(group, i), 'string')
    end
  end
  for _, online in ipairs(batch.online) do
    check_type(base .. 'online:' .. online[1], 'zset')
    check(is_time(online[2]) and is_time(online[3]), 'online')
    check_pairs(online[4], is_time, is_name, 'online')
  end
  for _, block in ipairs(batch.blocks) do
    check_type(base .. 'b:' .. block[1], 'string')
    check(is_token(block[3]) and is_token(block[4]) and is_time(block[6]), 'blocks')
    check(type(block[5]) == 'string' and #block[5] % 8 == 0 and type(block[8]) == 'boolean', 'blocks')
    check(is_text(block[1], KEY_MAX) and is_text(block[7], KEY_MAX), 'blocks')
    check_type(base .. 'bx:' .. block[7], 'zset')
  end
  for _, person in ipairs(batch.persons) do
    check_type(base .. 'person:' .. person[1], 'hash')
    check(is_text(person[2], 512) and is_token(person[4]) and is_text(person[5], 65536), 'persons')
  end
  check_type(base .. 'dead', 'zset')
  check_type(base .. 'counts', 'hash')
  check_type(base .. 'inexact', 'hash')
  check_type(base .. 'ledger', 'hash')
  check_pairs(batch.dead, is_time, is_name, 'dead')
  check_pairs(batch.counts, is_name, is_increment, 'counts')
  check_list(batch.replayed, is_name, 'replayed')
  check_list(batch.projects, is_name, 'projects')
  check_pairs(batch.expired, is_name, is_time, 'expired')
  for i = 1, #batch.expired, 2 do check_type(base .. 'bx:' .. batch.expired[i], 'zset') end
  check(is_time(batch.dead_before) and is_time(batch.sketches_max) and is_text(batch.call, 64), 'payload')
end

-- 4 write ---------------------------------------------------------------------------------------------------------

local function increment(base, key, field, n)
  local reply = redis.pcall('HINCRBY', key, field, n)
  if type(reply) == 'table' and reply.err then
    redis.call('HINCRBY', base .. 'inexact', string.sub(key, #base + 1) .. ' ' .. field, 1)
  end
end

-- `measure US value …` → the field that takes what a full bucket cannot hold; a total has none, and always fits.
local function other(field)
  local measure = string.match(field, '^([^\31]*)\31')
  return measure and (measure .. '\31\30')
end

-- Within ±2^53 Lua adds whole numbers exactly; beyond, and where a field holds no such number, HINCRBY does it.
local function sum_of(held, n)
  if not held then return n end
  local sum = #held < 16 and tonumber(held)
  sum = sum and sum + n
  return sum and sum >= -EXACT and sum <= EXACT and sum
end

-- Increments of different fields, all of them Lua numbers: one read and one write a chunk, instead of calls a field.
-- What finds a full bucket goes to the field that takes it. Returns how many fields there are then.
local function add_chunk(base, key, size, limit, list, first, last)
  local names, sums, full = {}, {}, {}
  for i = first, last, 2 do names[#names + 1] = list[i] end
  local held = redis.call('HMGET', key, unpack(names))
  for i = 1, #names do
    local name, n = names[i], list[first + 2 * i - 1]
    local instead = not held[i] and size >= limit and other(name)
    if instead then
      local sum = (full[instead] or 0) + n
      if sum >= -EXACT and sum <= EXACT then full[instead] = sum else increment(base, key, instead, n) end
    else
      if not held[i] then size = size + 1 end
      local sum = sum_of(held[i], n)
      if sum then
        sums[#sums + 1] = name
        sums[#sums + 1] = sum
      else
        increment(base, key, name, n)
      end
    end
  end
  if #sums > 0 then redis.call('HSET', key, unpack(sums)) end
  for name, n in pairs(full) do increment(base, key, name, n) end
  return size
end

local function add_one_by_one(base, key, size, limit, list)
  for i = 1, #list, 2 do
    local field = list[i]
    if size + #list / 2 > limit and redis.call('HEXISTS', key, field) == 0 then
      local instead = other(field)
      if instead and size >= limit then field = instead else size = size + 1 end
    end
    increment(base, key, field, list[i + 1])
  end
end

local function all_numbers(list)
  for i = 2, #list, 2 do if type(list[i]) ~= 'number' then return false end end
  return true
end

local function write_cells(base, cells, now)
  if cells[2] <= now then return end -- its expiry has passed: writing it would only delete it again
  local key, limit, list = base .. 'c:' .. cells[1], cells[3], cells[4]
  local size = redis.call('HLEN', key)
  if #list <= 8 or not all_numbers(list) then
    add_one_by_one(base, key, size, limit, list)
  elseif size == 0 and #list / 2 <= limit then -- a new bucket: there is nothing to add to
    each_chunk(list, 1, function(i, j) redis.call('HSET', key, unpack(list, i, j)) end)
  else
    for i = 1, #list, 2 * CHUNK do
      size = add_chunk(base, key, size, limit, list, i, math.min(i + 2 * CHUNK - 1, #list))
    end
  end
  redis.call('EXPIREAT', key, cells[2])
end

-- The expiry of a sketch and of its index is that of the bucket, and never changes.
local function write_sketches(base, group, now, sketches_max)
  if group[2] <= now then return end
  local index, list = group[3] and base .. 'px:' .. group[1], group[4]
  local size = index and redis.call('SCARD', index)
  for i = 1, #list, 2 do
    local key, persons, is_there = base .. sketch_key(group, i), list[i + 1], group[5][i]
    if is_there or not index or size < sketches_max then
      for first = 1, #persons, CHUNK do
        redis.pcall('PFADD', key, unpack(persons, first, math.min(first + CHUNK - 1, #persons)))
      end
      if not is_there then
        redis.call('EXPIREAT', key, group[2])
        if index then size = size + redis.call('SADD', index, list[i]) end
      end
    end
  end
  if index then redis.call('EXPIREAT', index, group[2]) end
end

local function write_online(base, online, now)
  if online[3] <= now then return end
  local key = base .. 'online:' .. online[1]
  each_chunk(online[4], 1, function(i, j) redis.call('ZADD', key, 'GT', unpack(online[4], i, j)) end)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. online[2])
  redis.call('EXPIREAT', key, online[3])
end

local function write_block(base, block)
  if #block[5] == 0 then return end
  local key = base .. 'b:' .. block[1]
  if block[8] or block[2] == '' then
    redis.call('SET', key, block[3] .. block[4] .. block[5])
  else
    redis.call('SETRANGE', key, 0, block[3] .. block[4])
    redis.call('APPEND', key, block[5])
  end
  redis.call('ZADD', base .. 'bx:' .. block[7], block[6], block[1])
end

local function write_person(base, person)
  local key = base .. 'person:' .. person[1]
  if person[5] == '' then redis.call('HDEL', key, person[2])
  else redis.call('HSET', key, person[2], person[4] .. person[5]) end
end

-- Blocks whose last write is 24 h of record time ago decide nothing any more. A few go with each call.
local function forget_blocks(base, slice, before)
  local index = base .. 'bx:' .. slice
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', before, 'LIMIT', 0, 100)) do
    redis.call('UNLINK', base .. 'b:' .. name)
    redis.call('ZREM', index, name)
  end
end

local function forget_dead(base, before)
  if before == 0 then return end
  for _, origin in ipairs(redis.call('ZRANGEBYSCORE', base .. 'dead', '-inf', '(' .. before, 'LIMIT', 0, 1000)) do
    redis.call('ZREM', base .. 'dead', origin)
  end
end

local function write(base, batch, now)
  for _, cells in ipairs(batch.cells) do write_cells(base, cells, now) end
  for _, group in ipairs(batch.sketches) do write_sketches(base, group, now, batch.sketches_max) end
  for _, online in ipairs(batch.online) do write_online(base, online, now) end
  for _, block in ipairs(batch.blocks) do write_block(base, block) end
  for _, person in ipairs(batch.persons) do write_person(base, person) end
  each_chunk(batch.dead, 1, function(i, j) redis.call('ZADD', base .. 'dead', unpack(batch.dead, i, j)) end)
  each_chunk(batch.replayed, 1, function(i, j) redis.call('ZREM', base .. 'dead', unpack(batch.replayed, i, j)) end)
  for i = 1, #batch.counts, 2 do increment(base, base .. 'counts', batch.counts[i], batch.counts[i + 1]) end
  for i = 1, #batch.expired, 2 do forget_blocks(base, batch.expired[i], batch.expired[i + 1]) end
  forget_dead(base, batch.dead_before)
end

local function advance(ledger, moves)
  local row = {}
  for _, move in ipairs(moves) do
    row[#row + 1] = move[1]
    row[#row + 1] = move[3]
  end
  each_chunk(row, 1, function(i, j) redis.call('HSET', ledger, unpack(row, i, j)) end)
end

local function changes_nothing(batch)
  for _, move in ipairs(batch.moves) do if move[2] ~= move[3] then return false end end
  for _, part in ipairs({'cells', 'sketches', 'online', 'persons', 'dead', 'replayed', 'counts'}) do
    if #batch[part] > 0 then return false end
  end
  for _, block in ipairs(batch.blocks) do if #block[5] > 0 then return false end end
  return true
end

-- Steps 1 and 2: the answer where there is nothing to write, else nil, the batch and where it goes. Writes nothing.
local function examine(root, shard_key, payload, current)
  local batch = cmsgpack.unpack(payload)
  local generation = redis.call('HGET', shard_key, current) or ''
  local base = root .. generation .. ':'
  local ledger = base .. 'ledger'

  local torn = redis.call('GET', base .. 'inflight')
  if torn then return {'TORN', torn} end
  -- 1 compare: position and generation, then everything that the batch was computed from
  if generation == '' or batch.generation ~= generation or ledger_differs(ledger, batch.moves) then
    return moved(ledger, generation, batch.moves)
  end
  local conflict = conflicts(root, base, batch)
  if conflict then return conflict end
  if changes_nothing(batch) then return {'OK'} end
  -- 2 validate
  validate(base, batch)
  return nil, batch, base
end

-- A key of ours was overwritten: what it held is lost, so the shard stays torn until it is counted again.
local function stop(root, shard_key, current, why)
  local generation = redis.pcall('HGET', shard_key, current)
  if type(generation) == 'string' then redis.call('SET', root .. generation .. ':inflight', why) end
  return {'TORN', why}
end

-- Why `examine` has failed. Nothing has been written.
local function refuse(root, shard_key, current, problem)
  if type(problem) == 'table' and problem.invalid then return redis.error_reply('INVALID ' .. problem.invalid) end
  if type(problem) == 'table' and problem.damaged then
    return stop(root, shard_key, current, 'damaged: another type under ' .. problem.damaged)
  end
  -- A server's error is a table in Redis and a text in Valkey; other texts are Lua's own, about a shape it can't read.
  local said = type(problem) == 'table' and problem.err or problem
  if string.find(said, '^WRONGTYPE ') then return stop(root, shard_key, current, 'damaged: another type under a key') end
  if string.find(said, '^%u+ ') and not string.find(said, 'strings or integers', 1, true) then return {err = said} end
  return redis.error_reply('INVALID payload')
end

-- `current`: the field of the shard's record that names the generation, the one that is read or the one being built.
local function write_batch(keys, args, current)
  local root = prefix_of(keys[1])
  local is_examined, answer, batch, base = pcall(examine, root, keys[1], args[1], current)
  if not is_examined then return refuse(root, keys[1], current, answer) end
  if answer then return answer end
  local now, marker = tonumber(redis.call('TIME')[1]), base .. 'inflight'
  -- 3 mark
  redis.call('SET', marker, batch.call)
  -- 4 write
  write(base, batch, now)
  -- 5 advance
  advance(base .. 'ledger', batch.moves)
  redis.call('DEL', marker)
  if current == 'generation' then redis.pcall('PUBLISH', root .. 'moved', table.concat(batch.projects, ',')) end
  return {'OK'}
end
