-- The second part of the library: what a batch writes, once the first part has found nothing against it. The steps go on
-- from there: 3 mark, 4 write, 5 advance.

local LOGGED_FROM = 256 -- fields: a smaller bucket is as soon read whole
local LOGGED_MAX = 500 -- fields changed by one call
local LOG_MAX, LOG_SECONDS = 64, 60

-- 4 write ---------------------------------------------------------------------------------------------------------

-- What could not be added is told, by answers too.
local function note_inexact(base, what) redis.call('HINCRBY', base .. 'inexact', string.sub(what, #base + 1), 1) end

-- `log`, where there is one, takes the field and its new number.
local function increment(base, key, field, n, log)
  local reply = redis.pcall('HINCRBY', key, field, n)
  if type(reply) == 'table' and reply.err then
    note_inexact(base, key .. ' ' .. field)
  elseif log then
    if reply < -EXACT or reply > EXACT then log.is_broken = true end
    log[#log + 1] = field
    log[#log + 1] = reply
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
local function add_chunk(base, key, size, limit, list, first, last, log)
  local names, count, sums, top, full = {}, 0, {}, 0, {}
  for i = first, last, 2 do
    count = count + 1
    names[count] = list[i]
  end
  local held = redis.call('HMGET', key, unpack(names))
  for i = 1, count do
    local name, n = names[i], list[first + 2 * i - 1]
    local instead = not held[i] and size >= limit and other(name)
    if instead then
      local sum = (full[instead] or 0) + n
      if sum >= -EXACT and sum <= EXACT then full[instead] = sum else increment(base, key, instead, n, log) end
    else
      if not held[i] then size = size + 1 end
      local sum = sum_of(held[i], n)
      if sum then
        sums[top + 1], sums[top + 2] = name, sum
        top = top + 2
      else
        increment(base, key, name, n, log)
      end
    end
  end
  if top > 0 then redis.call('HSET', key, unpack(sums)) end
  if log then for i = 1, top do log[#log + 1] = sums[i] end end
  for name, n in pairs(full) do increment(base, key, name, n, log) end
  return size
end

local function add_one_by_one(base, key, size, limit, list, log)
  for i = 1, #list, 2 do
    local field = list[i]
    if size + #list / 2 > limit and redis.call('HEXISTS', key, field) == 0 then
      local instead = other(field)
      if instead and size >= limit then field = instead else size = size + 1 end
    end
    increment(base, key, field, list[i + 1], log)
  end
end

local function all_numbers(list)
  for i = 2, #list, 2 do if type(list[i]) ~= 'number' then return false end end
  return true
end

-- What a call has changed in a large bucket, as fields and their new numbers, so that a reader who knows the bucket need
-- not read it whole. A log that is not there, or has no such position any more, tells nothing: the bucket does.
local function log_changes(key, log)
  local reply = log and not log.is_broken
    and redis.pcall('XADD', key, 'MAXLEN', '~', LOG_MAX, '*', 'changes', cmsgpack.pack(log))
  if type(reply) == 'string' then
    redis.call('EXPIRE', key, LOG_SECONDS)
  else
    redis.call('UNLINK', key)
  end
end

local function write_cells(base, cells, now)
  if cells[2] <= now then return end -- its expiry has passed: writing it would only delete it again
  local key, limit, list = base .. 'c:' .. cells[1], cells[3], cells[4]
  local size = redis.call('HLEN', key)
  local is_logged = cells[5] and size >= LOGGED_FROM
  local log = is_logged and #list <= 2 * LOGGED_MAX and {} or nil
  if #list <= 8 or not all_numbers(list) then
    add_one_by_one(base, key, size, limit, list, log)
  elseif size == 0 and #list / 2 <= limit then -- a new bucket: there is nothing to add to
    each_chunk(list, 1, function(i, j) redis.call('HSET', key, unpack(list, i, j)) end)
  else
    for i = 1, #list, 2 * CHUNK do
      size = add_chunk(base, key, size, limit, list, i, math.min(i + 2 * CHUNK - 1, #list), log)
    end
  end
  redis.call('EXPIREAT', key, cells[2])
  if is_logged then log_changes(base .. 'l:' .. cells[1], log) end
end

-- A text under the key that is no sketch takes nobody.
local function add_persons(base, key, persons, is_there)
  local reply
  if type(persons) == 'table' then
    for first = 1, #persons, CHUNK do
      reply = redis.pcall('PFADD', key, unpack(persons, first, math.min(first + CHUNK - 1, #persons)))
    end
  elseif is_there then
    local other = base .. 'merged'
    redis.call('SET', other, persons)
    reply = redis.pcall('PFMERGE', key, other)
    redis.call('DEL', other)
  else
    redis.call('SET', key, persons)
  end
  if type(reply) == 'table' and reply.err then note_inexact(base, key) end
end

-- The expiry of a sketch and of its index is that of the bucket, and never changes.
local function write_sketches(base, group, now, sketches_max)
  if group[2] <= now then return end
  local index, list = group[3] and base .. 'px:' .. group[1], group[4]
  local size = index and redis.call('SCARD', index)
  for i = 1, #list, 2 do
    local key, is_there = base .. sketch_key(group, i), group[5][i]
    if is_there or not index or size < sketches_max then
      add_persons(base, key, list[i + 1], is_there)
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
