-- The second part of the library: what a batch adds to a bucket, and who has a seat in it.
--
-- A value (one combination of a rollup's dimensions) is in with all its measures, or with none. It is in where the field
-- of its rollup's anchor is there; that is made with 0 where another measure comes first. `#kind` counts the seats taken.
-- core/caps.py says how many there are, and which values are bounded: those stay where the others become OTHER.

local LOGGED_FROM = 256 -- fields: a smaller bucket is as soon read whole
local LOGGED_MAX = 500 -- fields changed by one call
local LOG_MAX, LOG_SECONDS = 64, 60
local OTHER = '\30'

-- Seats -----------------------------------------------------------------------------------------------------------

-- A value → what stands for it where it has no seat, nil where it always has one; and the kind of seat that it takes.
local function without_seat(dimensions, value)
  local at, stays, instead, kind = 0, true, {}, 'open'
  for part in string.gmatch(value, '\31([^\31]*)') do
    at = at + 1
    local bounded = dimensions[at]
    if type(bounded) == 'table' then bounded = bounded[part] end
    if bounded and at == 1 then kind = 'named' end
    if not bounded then
      stays, part = false, OTHER
    end
    instead[at] = '\31' .. part
  end
  if stays then return nil, kind end
  return table.concat(instead), kind
end

local function log_field(log, field, n)
  if log then
    log[#log + 1] = field
    log[#log + 1] = n
  end
end

-- A value of which no field is known to this call: true where it is in, else what stands for it. `bots`: '~' or ''.
local function admit(bucket, bots, measure, value)
  local anchor = bots .. bucket.anchor
  if measure ~= anchor and bucket.size > 0 and redis.call('HEXISTS', bucket.key, anchor .. value) == 1 then return true end
  local instead, kind = without_seat(bucket.dimensions, value)
  if not instead then return true end
  kind = '#' .. bots .. kind
  local taken = bucket.taken[kind] or tonumber(redis.call('HGET', bucket.key, kind) or '0')
  if taken >= bucket.seats then return instead end
  bucket.taken[kind], bucket.has_new = taken + 1, true
  if measure ~= anchor then
    redis.call('HSET', bucket.key, anchor .. value, 0)
    log_field(bucket.log, anchor .. value, 0)
  end
  return true
end

-- The field that takes a field which is not there yet; a total always takes its own.
local function seat_of(bucket, field)
  local measure, value = string.match(field, '^([^\31]*)(\31.*)$')
  if not measure or not bucket.anchor then return field end
  local bots = string.sub(measure, 1, 1) == '~' and '~' or ''
  local place = bucket.known[bots .. value]
  if place == nil then
    place = admit(bucket, bots, measure, value)
    bucket.known[bots .. value] = place
  end
  return place == true and field or measure .. place
end

local function note_seats(bucket)
  if not bucket.has_new then return end
  for kind, taken in pairs(bucket.taken) do
    redis.call('HSET', bucket.key, kind, taken)
    log_field(bucket.log, kind, taken)
  end
end

-- Sums ------------------------------------------------------------------------------------------------------------

-- `log`, where there is one, takes the field and its new number. What could not be added is told beside it.
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

-- Within ±2^53 Lua adds whole numbers exactly; beyond, and where a field holds no such number, HINCRBY does it.
local function sum_of(held, n)
  if not held then return n end
  local sum = #held < 16 and tonumber(held)
  sum = sum and sum + n
  return sum and sum >= -EXACT and sum <= EXACT and sum
end

-- Increments of different fields, all of them Lua numbers: one read and one write a chunk, instead of calls a field.
local function add_chunk(bucket, list, first, last)
  local names, count, sums, top, full, key = {}, 0, {}, 0, {}, bucket.key
  for i = first, last, 2 do
    count = count + 1
    names[count] = list[i]
  end
  local held = bucket.size > 0 and redis.call('HMGET', key, unpack(names)) or {}
  for i = 1, count do
    local name, n = names[i], list[first + 2 * i - 1]
    local place = held[i] and name or seat_of(bucket, name)
    if place ~= name then
      local sum = (full[place] or 0) + n
      if sum >= -EXACT and sum <= EXACT then full[place] = sum else increment(key, place, n, bucket.log) end
    else
      local sum = sum_of(held[i], n)
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
  for name, n in pairs(full) do increment(key, name, n, bucket.log) end
end

local function add_one_by_one(bucket, list)
  for i = 1, #list, 2 do
    local field = list[i]
    if bucket.anchor and redis.call('HEXISTS', bucket.key, field) == 0 then field = seat_of(bucket, field) end
    increment(bucket.key, field, list[i + 1], bucket.log)
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

-- `rules`: by rollup its anchor and its dimensions; a rollup without one has seats for all.
local function write_cells(base, cells, rules, now)
  if cells[2] <= now then return end -- its expiry has passed: writing it would only delete it again
  local key, list, rule = base .. 'c:' .. cells[1], cells[4], rules[cells[6]] or {}
  local size = redis.call('HLEN', key)
  local is_logged = cells[5] and size >= LOGGED_FROM
  local bucket = {
    key = key, size = size, seats = cells[3], anchor = rule[1], dimensions = rule[2], known = {}, taken = {},
    log = is_logged and #list <= 2 * LOGGED_MAX and {} or nil,
  }
  if not all_numbers(list) or (not rule[1] and #list <= 8) then
    add_one_by_one(bucket, list)
  elseif size == 0 and not rule[1] then -- there is nothing to add to, and nobody to turn away
    each_chunk(list, 1, function(i, j) redis.call('HSET', key, unpack(list, i, j)) end)
  else
    for i = 1, #list, 2 * CHUNK do add_chunk(bucket, list, i, math.min(i + 2 * CHUNK - 1, #list)) end
  end
  note_seats(bucket)
  redis.call('EXPIREAT', key, cells[2])
  if is_logged then log_changes(base .. 'l:' .. cells[1], bucket.log) end
end
