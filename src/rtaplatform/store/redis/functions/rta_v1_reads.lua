-- Eighth part of the library: reads for the analytics, called inside their MULTI. No number changes.

-- Read some fields of many buckets in one call: as commands of a MULTI each would cost the reader two replies.
-- args: the generation, and a MessagePack list of [bucket names, fields]. Returns one list of values for each, bucket by
-- bucket in the order of the fields: nil for a missing field, and `!` after the number of an incomplete one.
local function read_fields(keys, args)
  local base, answers = find_prefix(keys[1]) .. args[1] .. ':c:', {}
  for _, read in ipairs(cmsgpack.unpack(args[2])) do
    local names, fields, values, n = read[1], read[2], {}, 0
    for i = 1, #names do
      local key = base .. names[i]
      for first = 1, #fields, CHUNK do
        local last = math.min(first + CHUNK - 1, #fields)
        local reply = redis.call('HMGET', key, '!', unpack(fields, first, last))
        for j = 2, #reply do
          local value = reply[j]
          if reply[1] and value and redis.call('HEXISTS', key, '!' .. fields[first + j - 2]) == 1 then value = value .. '!' end
          values[n + j - 1] = value
        end
        n = n + #reply - 1
      end
    end
    answers[#answers + 1] = values
  end
  return answers
end

-- Count the persons of each value of a dimension, in some buckets. A MULTI would need to know the values in advance.
-- Not `no-writes`: PFCOUNT stores its result in the sketch, so that the next count is free.
-- args: the generation, and a MessagePack list of index names, one per bucket. Returns value, count, … for each.
local function count_persons(keys, args)
  local base, answers = find_prefix(keys[1]) .. args[1] .. ':', {}
  for _, bucket in ipairs(cmsgpack.unpack(args[2])) do
    local values, counts = redis.call('SMEMBERS', base .. 'px:' .. bucket), {}
    for i = 1, #values do
      counts[2 * i - 1] = values[i]
      counts[2 * i] = tostring(redis.call('PFCOUNT', base .. 'p:' .. bucket .. ':' .. values[i]))
    end
    answers[#answers + 1] = counts
  end
  return answers
end

-- Read the sketches of each value of a dimension in some buckets, as stored.
-- args: as in `count_persons`. Returns value, sketch, … for each.
local function read_sketches(keys, args)
  local base, answers = find_prefix(keys[1]) .. args[1] .. ':', {}
  for _, bucket in ipairs(cmsgpack.unpack(args[2])) do
    local values, sketches, n = redis.call('SMEMBERS', base .. 'px:' .. bucket), {}, 0
    for first = 1, #values, CHUNK do
      local names, last = {}, math.min(first + CHUNK - 1, #values)
      for i = first, last do names[i - first + 1] = base .. 'p:' .. bucket .. ':' .. values[i] end
      for i, sketch in ipairs(redis.call('MGET', unpack(names))) do
        if sketch then
          sketches[n + 1], sketches[n + 2], n = values[first + i - 1], sketch, n + 2
        end
      end
    end
    answers[#answers + 1] = sketches
  end
  return answers
end

redis.register_function{function_name = 'rta_fields_v2', callback = read_fields, flags = {'no-writes'}}
redis.register_function{function_name = 'rta_counts_v1', callback = count_persons, flags = {'allow-oom'}}
redis.register_function{function_name = 'rta_sketches_v1', callback = read_sketches, flags = {'no-writes'}}
