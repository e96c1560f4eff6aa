-- The fourth part of the library: what is done to a shard as a whole.
-- Begin a generation, adopt a topic, tell the projects, probe rights; and the names under which all of it is called.

-- Begin a generation: only where `expected` is the current one (empty: the shard has none). Returns the current one.
local function begin(keys, args)
  local root = prefix_of(keys[1])
  local expected, generation = args[1], args[2]
  local current = redis.call('HGET', keys[1], 'generation') or ''
  if current ~= expected then return current end
  local manifest = root .. generation .. ':manifest'
  redis.call('DEL', manifest)
  redis.call('HSET', manifest, unpack(args, 5))
  redis.call('HSET', keys[1], 'schema', args[3], 'shards', args[4], 'generation', generation)
  redis.call('HDEL', keys[1], 'building')
  redis.call('PUBLISH', root .. 'moved', '')
  return generation
end

-- An operator takes a topic as it is now: its id, and the rows of its partitions, each from what stands there. What was
-- skipped is written down as a gap. Answers like `apply`: OK, or MOVED with what stands there.
local function adopt(keys, args)
  local root = prefix_of(keys[1])
  local wanted = cmsgpack.unpack(args[1])
  local generation = redis.call('HGET', keys[1], 'generation') or ''
  local base = root .. generation .. ':'
  if generation == '' or wanted.generation ~= generation or ledger_differs(base .. 'ledger', wanted.moves) then
    return moved(base .. 'ledger', generation, wanted.moves)
  end
  redis.call('HSET', base .. 'manifest', 'topic:' .. wanted.topic, wanted.topic_id)
  advance(base .. 'ledger', wanted.moves)
  for _, gap in ipairs(wanted.gaps) do redis.call('HSET', root .. 'gaps', gap[1], gap[2]) end
  redis.call('PUBLISH', root .. 'moved', '')
  return {'OK'}
end

-- What folding an event depends on: all of a project's record but the first day of its week.
local function folding(project)
  return (string.gsub(project, '"week_start":"%a*"', ''))
end

-- Tell the shard its projects: args are a new version, then slug, JSON, … A project that is not named stays: an empty
-- catalog must not turn a site's events into dead letters. The version is new only where what a batch was computed from
-- has changed; a project that is new changes nothing for the others, and holds up no worker.
local function set_projects(keys, args)
  local key = prefix_of(keys[1]) .. 'projects'
  local is_changed, told = redis.call('HEXISTS', key, ':version') == 0, {}
  for i = 2, #args, 2 do
    local known = redis.call('HGET', key, args[i])
    if known ~= args[i + 1] then
      is_changed = is_changed or (known and folding(known) ~= folding(args[i + 1]))
      redis.call('HSET', key, args[i], args[i + 1])
      told[#told + 1] = args[i]
    end
  end
  if is_changed then redis.call('HSET', key, ':version', args[1]) end
  if #told > 0 then redis.call('PUBLISH', prefix_of(keys[1]) .. 'moved', table.concat(told, ',')) end
  return redis.call('HGET', key, ':version')
end

-- Use every command that `apply` uses, on keys of its own, so that a missing right is found before a batch is torn by it.
local function probe(keys)
  local base = prefix_of(keys[1]) .. 'probe:'
  local hash, zset, set, text, sketch = base .. 'hash', base .. 'zset', base .. 'set', base .. 'text', base .. 'sketch'
  redis.call('HSET', hash, 'a', 1)
  redis.call('HINCRBY', hash, 'a', 1)
  redis.call('HGET', hash, 'a')
  redis.call('HMGET', hash, 'a')
  redis.call('HLEN', hash)
  redis.call('HEXISTS', hash, 'a')
  redis.call('HDEL', hash, 'a')
  redis.call('ZADD', zset, 'GT', 1, 'a')
  redis.call('ZSCORE', zset, 'a')
  redis.call('ZMSCORE', zset, 'a')
  redis.call('ZCOUNT', zset, '-inf', 0)
  redis.call('ZRANGE', zset, 0, 0, 'WITHSCORES')
  redis.call('ZREMRANGEBYRANK', zset, 0, 0)
  redis.call('ZRANGEBYSCORE', zset, '-inf', 0, 'LIMIT', 0, 1)
  redis.call('ZREMRANGEBYSCORE', zset, '-inf', 0)
  redis.call('ZREM', zset, 'a')
  redis.call('SADD', set, 'a')
  redis.call('SCARD', set)
  redis.call('SET', text, 'a')
  redis.call('GET', text)
  redis.call('APPEND', text, 'a')
  redis.call('SETRANGE', text, 0, 'b')
  redis.call('GETRANGE', text, 0, 0)
  redis.call('TYPE', text)
  redis.call('EXISTS', text)
  redis.call('EXPIREAT', text, tonumber(redis.call('TIME')[1]) + 60)
  redis.call('XADD', base .. 'log', 'MAXLEN', '~', 1, '*', 'a', 'a')
  redis.call('EXPIRE', base .. 'log', 60)
  redis.call('PFADD', sketch, 'a')
  redis.call('PFMERGE', sketch, sketch)
  redis.call('STRLEN', sketch)
  redis.call('PUBLISH', base .. 'channel', '')
  redis.call('UNLINK', hash, zset, set, text, base .. 'log')
  redis.call('DEL', sketch)
  return 'OK'
end

-- A call that takes more than the one before has a new name, so that a worker who needs it finds out at once whether it
-- is there: it calls `probe` at its start, and loads the library where that is missing.
local function apply(keys, args) return write_batch(keys, args, 'generation') end
local function build(keys, args) return write_batch(keys, args, 'building') end

redis.register_function('rta_probe_v5', probe)
redis.register_function('rta_apply_v4', apply)
redis.register_function('rta_build_v4', build)
redis.register_function('rta_begin_v1', begin)
redis.register_function('rta_adopt_v1', adopt)
redis.register_function('rta_projects_v1', set_projects)
