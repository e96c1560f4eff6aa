-- Fifth part of the library: steps 3 (mark), 4 (write) and 5 (advance) of `apply`, after the first part's checks.

local LOOSE_FORGOTTEN = 1000 -- ids of a dedup partition that go with a call, and twice as many as it adds
local SETTLED_MINUTES = 5 -- after so many minutes, few ids are added to a dedup window any more
local SKETCH_KEY_BYTES = 200 -- about what a sketch takes beside its registers: key, expiry, entry of the index

-- 4 write ---------------------------------------------------------------------------------------------------------

-- Returns whether the sketch may have grown; nil if the string under the key is no sketch.
local function add_persons(base, key, persons, size)
  local reply, has_grown = nil, true
  if type(persons) == 'table' then
    has_grown = false
    for first = 1, #persons, CHUNK do
      reply = redis.pcall('PFADD', key, unpack(persons, first, math.min(first + CHUNK - 1, #persons)))
      has_grown = has_grown or reply == 1
    end
  elseif size > 0 then
    local other = base .. 'merged'
    redis.call('SET', other, persons)
    reply = redis.pcall('PFMERGE', key, other)
    redis.call('DEL', other)
  else
    redis.call('SET', key, persons)
  end
  if type(reply) == 'table' and reply.err then return nil end
  return has_grown
end

local function note_persons(base, group, now, noted)
  local record = base .. 'c:' .. group[4]
  if group[5] <= now then return end
  for name, n in pairs(noted) do
    if n > 0 then
      redis.call('HINCRBY', record, name .. '\31' .. group[3], n)
      redis.call('EXPIREAT', record, group[5])
    end
  end
end

-- A new value gets a sketch while the sketches of its dimension in this bucket are below the group's limit. An existing
-- sketch takes every person. The bucket's record of persons holds their size, and how many values were left out or
-- broken. The expiry of a sketch and of its index never changes.
local function write_sketches(base, group, now)
  if group[2] <= now then return end
  local index, list = group[3] ~= '' and base .. 'px:' .. group[1], group[6]
  local bytes_before = index and tonumber(redis.call('HGET', base .. 'c:' .. group[4], 'bytes\31' .. group[3]) or '0') or 0
  local noted = {bytes = 0, left_out = 0, broken = 0}
  for i = 1, #list, 2 do
    local key, size = base .. make_sketch_key(group, i), group[8][i]
    if size > 0 or not index or bytes_before + noted.bytes < group[7] then
      local has_grown = add_persons(base, key, list[i + 1], size)
      if has_grown == nil then noted.broken = noted.broken + 1 end
      if size == 0 then
        redis.call('EXPIREAT', key, group[2])
        if index and redis.call('SADD', index, list[i]) == 1 then noted.bytes = noted.bytes + SKETCH_KEY_BYTES end
      end
      if index and has_grown and size < SKETCH_BYTES then
        noted.bytes = noted.bytes + redis.call('STRLEN', key) - size
      end
    else
      noted.left_out = noted.left_out + 1
    end
  end
  if index then redis.call('EXPIREAT', index, group[2]) end
  note_persons(base, group, now, noted)
end

local function write_online(base, online, now)
  if online[3] <= now then return end
  local key = base .. 'online:' .. online[1]
  visit_chunks(online[4], 1, function(i, j) redis.call('ZADD', key, 'GT', unpack(online[4], i, j)) end)
  visit_chunks(online[5] or {}, 1, function(i, j) redis.call('ZREM', key, unpack(online[5], i, j)) end)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. online[2])
  redis.call('EXPIREAT', key, online[3])
end

-- A string that has been appended to has room for about as much again. SET gives it the room that it needs.
local function trim_block(key)
  local block = redis.pcall('GET', key) -- this call has not checked that key
  if type(block) == 'string' then redis.call('SET', key, block) end
end

-- A dedup window is appended to while its minute lasts, and for some minutes more. A later id is added without growth
-- slack. The first ids of a minute trim the window that is SETTLED_MINUTES older.
local function write_block(base, block)
  if #block[5] == 0 then return end
  local key = base .. 'b:' .. block[1]
  local place, minute = string.match(block[1], '^(.*:)(%d+)$')
  if block[8] or block[2] == '' then
    redis.call('SET', key, block[3] .. block[4] .. block[5])
    if minute then trim_block(base .. 'b:' .. place .. string.format('%d', minute - SETTLED_MINUTES)) end
  elseif minute and block[6] >= (minute + SETTLED_MINUTES) * 60000 then
    redis.call('SET', key, block[3] .. block[4] .. string.sub(redis.call('GET', key), 17) .. block[5])
  else
    redis.call('SETRANGE', key, 0, block[3] .. block[4])
    redis.call('APPEND', key, block[5])
  end
  redis.call('ZADD', base .. 'bx:' .. block[7], block[6], block[1])
end

-- Ids that are in no block, each with the stream time of its write. The index of the dedup partition has the set too, as its name and a
-- colon, from the first of its ids on. Returns how many were written.
local function write_loose(base, set)
  local scores, oldest = {}, nil
  for i = 1, #set[3] do
    local written = set[5][i]
    if written >= 0 then
      scores[#scores + 1] = written
      scores[#scores + 1] = set[3][i]
      if not oldest or written < oldest then oldest = written end
    end
  end
  visit_chunks(scores, 1, function(i, j) redis.call('ZADD', base .. 'i:' .. set[1], unpack(scores, i, j)) end)
  if oldest then redis.call('ZADD', base .. 'bx:' .. set[2], 'NX', oldest, set[1] .. ':') end
  return #scores / 2
end

-- Delete the oldest ids of a set, at most so many, and note in the index when the next one is due. Returns how many.
local function forget_loose(base, index, name, before, count_max)
  local key = base .. 'i:' .. string.sub(name, 1, -2)
  local due = redis.pcall('ZCOUNT', key, '-inf', before)
  local n = type(due) == 'number' and math.min(due, count_max) or 0
  if n > 0 then redis.call('ZREMRANGEBYRANK', key, 0, n - 1) end
  local oldest = type(due) == 'number' and redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  if oldest then redis.call('ZADD', index, oldest, name) else redis.call('ZREM', index, name) end
  return n
end

-- What was last written 24 h of stream time ago decides nothing any more: blocks, and loose ids. A few go with each call.
local function forget_expired(base, dedup_partition, before, loose_most)
  local index = base .. 'bx:' .. dedup_partition
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', before, 'LIMIT', 0, 100)) do
    if string.sub(name, -1) == ':' then
      loose_most = loose_most - forget_loose(base, index, name, before, loose_most)
    else
      redis.call('UNLINK', base .. 'b:' .. name)
      redis.call('ZREM', index, name)
    end
  end
end

local function forget_dead(base, before)
  if before == 0 then return end
  for _, origin in ipairs(redis.call('ZRANGEBYSCORE', base .. 'dead', '-inf', '(' .. before, 'LIMIT', 0, 1000)) do
    redis.call('ZREM', base .. 'dead', origin)
  end
end

local function write(base, batch, now)
  for _, cells in ipairs(batch.cells) do write_cells(base, cells, batch.rules, now) end
  for _, group in ipairs(batch.sketches) do write_sketches(base, group, now) end
  for _, online in ipairs(batch.online) do write_online(base, online, now) end
  for _, block in ipairs(batch.blocks) do write_block(base, block) end
  local added = {}
  for _, set in ipairs(batch.loose) do added[set[2]] = (added[set[2]] or 0) + write_loose(base, set) end
  write_orders(base, batch)
  write_persons(base, batch)
  visit_chunks(batch.dead, 1, function(i, j) redis.call('ZADD', base .. 'dead', unpack(batch.dead, i, j)) end)
  visit_chunks(batch.replayed, 1, function(i, j) redis.call('ZREM', base .. 'dead', unpack(batch.replayed, i, j)) end)
  for i = 1, #batch.counts, 2 do increment(base .. 'counts', batch.counts[i], batch.counts[i + 1]) end
  for i = 1, #batch.expired, 2 do
    local dedup_partition = batch.expired[i]
    forget_expired(base, dedup_partition, batch.expired[i + 1], LOOSE_FORGOTTEN + 2 * (added[dedup_partition] or 0))
  end
  forget_dead(base, batch.dead_before)
end

local function advance(ledger, moves)
  local rows = {}
  for _, move in ipairs(moves) do
    rows[#rows + 1] = move[1]
    rows[#rows + 1] = move[3]
  end
  visit_chunks(rows, 1, function(i, j) redis.call('HSET', ledger, unpack(rows, i, j)) end)
end

local function is_without_effect(batch)
  for _, move in ipairs(batch.moves) do if move[2] ~= move[3] then return false end end
  for _, part in ipairs({'cells', 'sketches', 'online', 'persons', 'dead', 'replayed', 'counts'}) do
    if #batch[part] > 0 then return false end
  end
  for _, block in ipairs(batch.blocks) do if #block[5] > 0 then return false end end
  for _, set in ipairs(batch.loose) do
    for i = 1, #set[5] do if set[5][i] ~= -1 then return false end end
  end
  return not has_new_orders(batch)
end

-- Steps 1 and 2. Returns a reply if there is nothing to write, else nil, the batch and the prefix to write below.
local function examine(root, shard_key, payload, current)
  local batch = cmsgpack.unpack(payload)
  local generation = redis.call('HGET', shard_key, current) or ''
  local base = root .. generation .. ':'
  local ledger = base .. 'ledger'

  local torn = redis.call('GET', base .. 'inflight')
  if torn then return {'TORN', torn} end
  -- 1 compare: position and generation, then everything that the batch was computed from
  if generation == '' or batch.generation ~= generation or differs_from_ledger(ledger, batch.moves) then
    return make_moved_reply(ledger, generation, batch.moves)
  end
  local orders, persons = list_differing_orders(base, batch), list_differing_persons(base, batch)
  local conflict = find_conflicts(root, base, batch, orders, persons)
  if conflict then return conflict end
  if is_without_effect(batch) then return {'OK'} end
  -- 2 validate
  validate(base, batch)
  check_orders(base, batch)
  check_values(base, batch)
  return nil, batch, base
end

-- A key of ours was overwritten and its content is lost: the shard stays stopped until it is counted again.
local function stop(root, shard_key, current, why)
  local generation = redis.pcall('HGET', shard_key, current)
  if type(generation) == 'string' then redis.call('SET', root .. generation .. ':inflight', why) end
  return {'TORN', why}
end

-- Turn an error of `examine` into a reply. Nothing has been written.
local function refuse(root, shard_key, current, problem)
  if type(problem) == 'table' and problem.invalid then return redis.error_reply('INVALID ' .. problem.invalid) end
  if type(problem) == 'table' and problem.damaged then
    return stop(root, shard_key, current, 'damaged: another type under ' .. problem.damaged)
  end
  -- The server's errors are tables in Redis and strings in Valkey. Other strings are Lua's own: a wrong payload.
  local message = type(problem) == 'table' and problem.err or problem
  if string.find(message, '^WRONGTYPE ') then
    return stop(root, shard_key, current, 'damaged: another type under a key')
  end
  local is_servers = string.find(message, '^%u+ ') and not string.find(message, 'strings or integers', 1, true)
  if is_servers then return {err = message} end
  return redis.error_reply('INVALID payload')
end

-- `current` names the field of the shard's record that has the generation: `generation` or `building`.
local function write_batch(keys, args, current)
  local root = find_prefix(keys[1])
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
