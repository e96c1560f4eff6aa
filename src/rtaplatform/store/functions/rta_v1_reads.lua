-- The fourth part of the library: reading for the analytics. It writes nothing, and is called inside their MULTI.

-- Some fields of many buckets in one call: as commands of a MULTI each would cost a reader two replies and a future.
-- args: the generation, and a MessagePack list of [names of buckets, fields]. Answers one list of values a bucket, in
-- their order, with nil where there is no such field.
local function read_fields(keys, args)
  local base, found = prefix_of(keys[1]) .. args[1] .. ':c:', {}
  for _, asked in ipairs(cmsgpack.unpack(args[2])) do
    local names, fields = asked[1], asked[2]
    for i = 1, #names do
      local values = {}
      each_chunk(fields, 1, function(first, last)
        local chunk = redis.call('HMGET', base .. names[i], unpack(fields, first, last))
        for j = 1, last - first + 1 do values[#values + 1] = chunk[j] end
      end)
      found[#found + 1] = values
    end
  end
  return found
end

redis.register_function{function_name = 'rta_fields_v1', callback = read_fields, flags = {'no-writes'}}
