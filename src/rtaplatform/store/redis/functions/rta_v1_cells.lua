-- Second part of the library: add a batch to the counters of a bucket, and give seats to new values.
--
-- A value is one combination of a rollup's dimensions. A bucket has it with all its measures, or not at all. It has it if
-- the field of the rollup's anchor measure exists; that field is created with 0 if another measure comes first.
-- The field `#kind` counts the seats that are taken. core/caps.py says how many seats there are, and which values are
-- bounded: a bounded value keeps its name without a seat, all others are counted as OTHER.

local LOGGED_FROM = 256 -- fields; reading a smaller bucket as a whole costs no more than its log
local LOGGED_MAX = 500 -- fields changed by one call
local LOG_MAX, LOG_SECONDS = 64, 60
local OTHER = '\30'

-- Seats -----------------------------------------------------------------------------------------------------------

-- Returns what a value is counted as if it gets no seat (nil: it needs none), and the kind of seat that it takes.
local function find_replacement(dimensions, value)
  local position, is_bounded, replacement, kind = 0, true, {}, 'open'
  for part in string.gmatch(value, '\31([^\31]*)') do
    position = position + 1
    local bounded = dimensions[position]
    if type(bounded) == 'table' then bounded = bounded[part] end
    if bounded and position == 1 then kind = 'named' end
    if not bounded then
      is_bounded, part = false, OTHER
    end
    replacement[position] = '\31' .. part
  end
  if is_bounded then return nil, kind end
  return table.concat(replacement), kind
end

local function log_field(log, field, n)
  if log then
    log[#log + 1] = field
    log[#log + 1] = n
  end
end

-- For a value that this call meets first: true if the bucket has it or gives it a seat, else what it is counted as.
-- `bots` is '~' for the counters of bots, else ''.
local function admit(bucket, bots, measure, value)
  local anchor = bots .. bucket.anchor
  if measure ~= anchor and bucket.size > 0 and redis.call('HEXISTS', bucket.key, anchor .. value) == 1 then return true end
  local replacement, kind = find_replacement(bucket.dimensions, value)
  if not replacement then return true end
  kind = '#' .. bots .. kind
  local taken = bucket.taken[kind] or tonumber(redis.call('HGET', bucket.key, kind) or '0')
  if taken >= bucket.seats then return replacement end
  bucket.taken[kind], bucket.has_new = taken + 1, true
  if measure ~= anchor then
    redis.call('HSET', bucket.key, anchor .. value, 0)
    log_field(bucket.log, anchor .. value, 0)
  end
  return true
end

-- The field that counts for a new field: the field itself, or that of OTHER. A total always has its own.
local function find_seat(bucket, field)
  local measure, value = string.match(field, '^([^\31]*)(\31.*)$')
  if not measure or not bucket.anchor then return field end
  local bots = string.sub(measure, 1, 1) == '~' and '~' or ''
  local admission = bucket.admissions[bots .. value]
  if admission == nil then
    admission = admit(bucket, bots, measure, value)
    bucket.admissions[bots .. value] = admission
  end
  return admission == true and field or measure .. admission
end

local function note_seats(bucket)
  if not bucket.has_new then return end
  for kind, taken in pairs(bucket.taken) do
    redis.call('HSET', bucket.key, kind, taken)
    log_field(bucket.log, kind, taken)
  end
end

-- Sums ------------------------------------------------------------------------------------------------------------

-- Adds n to a field. An increment that would overflow is skipped, and the field is flagged with `!`.
-- `log`, if given, gets the field and its new number.
local function increment(key, field, n, log)
  local reply = redis.pcall('HINCRBY', key, field, n)
  if type(reply) == 'table' and reply.err then
    redis.call('HSET', key, '!', 1, '!' .. field, 1)
    log_field(log, '!', 1)
    log_field(log, '!' .. field, 1)
  elseif log then
    if reply < -EXACT or reply > EXACT then log.is_broken = true end
    log_field(log, field, reply)
  end
end

-- The sum if Lua can add it exactly, which is within ±2^53; else false: HINCRBY must add it.
local function sum_exactly(stored, n)
  if not stored then return n end
  local sum = #stored < 16 and tonumber(stored)
  sum = sum and sum + n
  return sum and sum >= -EXACT and sum <= EXACT and sum
end

-- Add increments of different fields, all of them Lua numbers: with one read and one write per chunk, not per field.
local function add_chunk(bucket, list, first, last)
  local names, count, sums, top, redirected, key = {}, 0, {}, 0, {}, bucket.key
  for i = first, last, 2 do
    count = count + 1
    names[count] = list[i]
  end
  local stored = bucket.size > 0 and redis.call('HMGET', key, unpack(names)) or {}
  for i = 1, count do
    local name, n = names[i], list[first + 2 * i - 1]
    local seat = stored[i] and name or find_seat(bucket, name)
    if seat ~= name then
      local sum = (redirected[seat] or 0) + n
      if sum >= -EXACT and sum <= EXACT then redirected[seat] = sum else increment(key, seat, n, bucket.log) end
    else
      local sum = sum_exactly(stored[i], n)
      if sum then
        sums[top + 1], sums[top + 2] = name, sum
        top = top + 2
      else
        increment(key, name, n, bucket.log)
      end
    end
  end
  if top > 0 then redis.call('HSET', key, unpack(sums)) end
  if bucket.log then for i = 1, top do bucket.log[#bucket.log + 1] = sums[i] end end
  for name, n in pairs(redirected) do increment(key, name, n, bucket.log) end
end

local function add_one_by_one(bucket, list)
  for i = 1, #list, 2 do
    local field = list[i]
    if bucket.anchor and redis.call('HEXISTS', bucket.key, field) == 0 then field = find_seat(bucket, field) end
    increment(bucket.key, field, list[i + 1], bucket.log)
  end
end

local function are_numbers(list)
  for i = 2, #list, 2 do if type(list[i]) ~= 'number' then return false end end
  return true
end

-- Log the changes of a large bucket, as fields and their new numbers, so that a reader who has the bucket need not read
-- all of it again. If the log is missing, or no longer has a reader's position, the reader reads the bucket.
local function log_changes(key, log)
  local reply = log and not log.is_broken
    and redis.pcall('XADD', key, 'MAXLEN', '~', LOG_MAX, '*', 'changes', cmsgpack.pack(log))
  if type(reply) == 'string' then
    redis.call('EXPIRE', key, LOG_SECONDS)
  else
    redis.call('UNLINK', key)
  end
end

-- `rules`: rollup → its anchor and its dimensions. A rollup without a rule has a seat for every value.
local function write_cells(base, cells, rules, now)
  if cells[2] <= now then return end -- it has expired: Redis would delete it at once
  local key, list, rule = base .. 'c:' .. cells[1], cells[4], rules[cells[6]] or {}
  local size = redis.call('HLEN', key)
  local is_logged = cells[5] and size >= LOGGED_FROM
  local bucket = {
    key = key, size = size, seats = cells[3], anchor = rule[1], dimensions = rule[2], admissions = {}, taken = {},
    log = is_logged and #list <= 2 * LOGGED_MAX and {} or nil,
  }
  if not are_numbers(list) or (not rule[1] and #list <= 8) then
    add_one_by_one(bucket, list)
  elseif size == 0 and not rule[1] then -- a new bucket without seats: nothing to add up or to turn away
    visit_chunks(list, 1, function(i, j) redis.call('HSET', key, unpack(list, i, j)) end)
  else
    for i = 1, #list, 2 * CHUNK do add_chunk(bucket, list, i, math.min(i + 2 * CHUNK - 1, #list)) end
  end
  note_seats(bucket)
  redis.call('EXPIREAT', key, cells[2])
  if is_logged then log_changes(base .. 'l:' .. cells[1], bucket.log) end
end
