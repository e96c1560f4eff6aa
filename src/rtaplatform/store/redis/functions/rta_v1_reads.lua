-- The sixth part of the library: reading for the analytics. It changes no number, and is called inside their MULTI.

-- Some fields of many buckets in one call: as commands of a MULTI each would cost a reader two replies and a future.
-- args: the generation, and a MessagePack list of [names of buckets, fields]. Answers one list of values for each, bucket
-- by bucket in the order of the fields, with nil where there is no such field, and `!` after one that lacks something.
local function read_fields(keys, args)
  local base, found = prefix_of(keys[1]) .. args[1] .. ':c:', {}
  for _, asked in ipairs(cmsgpack.unpack(args[2])) do
    local names, fields, values, n = asked[1], asked[2], {}, 0
    for i = 1, #names do
      local key = base .. names[i]
      for first = 1, #fields, CHUNK do
        local last = math.min(first + CHUNK - 1, #fields)
        local held = redis.call('HMGET', key, '!', unpack(fields, first, last))
        for j = 2, #held do
          local value = held[j]
          if held[1] and value and redis.call('HEXISTS', key, '!' .. fields[first + j - 2]) == 1 then value = value .. '!' end
          values[n + j - 1] = value
        end
        n = n + #held - 1
      end
    end
    found[#found + 1] = values
  end
  return found
end

-- How many persons each value of a dimension has, in some buckets; a MULTI would need to know the values. No `no-writes`:
-- the server writes the count that it has found into the sketch, so that the next one is free.
-- args: the generation, and a MessagePack list of the names of the buckets' indexes. Answers value, count, … for each.
local function count_persons(keys, args)
  local base, found = prefix_of(keys[1]) .. args[1] .. ':', {}
  for _, bucket in ipairs(cmsgpack.unpack(args[2])) do
    local values, counts = redis.call('SMEMBERS', base .. 'px:' .. bucket), {}
    for i = 1, #values do
      counts[2 * i - 1] = values[i]
      counts[2 * i] = tostring(redis.call('PFCOUNT', base .. 'p:' .. bucket .. ':' .. values[i]))
    end
    found[#found + 1] = counts
  end
  return found
end

-- The sketches of each value of a dimension in some buckets, as they are kept.
-- args: as of `count_persons`. Answers value, sketch, … for each.
local function read_sketches(keys, args)
  local base, found = prefix_of(keys[1]) .. args[1] .. ':', {}
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
    found[#found + 1] = sketches
  end
  return found
end

redis.register_function{function_name = 'rta_fields_v2', callback = read_fields, flags = {'no-writes'}}
redis.register_function{function_name = 'rta_counts_v1', callback = count_persons, flags = {'allow-oom'}}
redis.register_function{function_name = 'rta_sketches_v1', callback = read_sketches, flags = {'no-writes'}}
