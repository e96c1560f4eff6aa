-- The fifth part of the library: reading for the analytics. It writes nothing, and is called inside their MULTI.

-- Some fields of many buckets in one call: as commands of a MULTI each would cost a reader two replies and a future.
-- args: the generation, and a MessagePack list of [names of buckets, fields]. Answers one list of values for each, bucket
-- by bucket in the order of the fields, with nil where there is no such field.
local function read_fields(keys, args)
  local base, found = prefix_of(keys[1]) .. args[1] .. ':c:', {}
  for _, asked in ipairs(cmsgpack.unpack(args[2])) do
    local names, fields, values, n = asked[1], asked[2], {}, 0
    for i = 1, #names do
      for first = 1, #fields, CHUNK do
        local last = math.min(first + CHUNK - 1, #fields)
        local held = redis.call('HMGET', base .. names[i], unpack(fields, first, last))
        for j = 1, #held do values[n + j] = held[j] end
        n = n + #held
      end
    end
    found[#found + 1] = values
  end
  return found
end

redis.register_function{function_name = 'rta_fields_v1', callback = read_fields, flags = {'no-writes'}}
