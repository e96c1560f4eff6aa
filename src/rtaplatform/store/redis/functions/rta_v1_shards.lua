-- Sixth part of the library: calls about a whole shard. Begin a generation, adopt a topic, set projects, probe rights.
-- At its end the functions of the first six parts are registered.

-- Begin a generation if `expected` is the current one (empty: the shard has none). Returns the current one.
local function begin(keys, args)
  local root = find_prefix(keys[1])
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

-- Accept a topic as it is now, for an operator: its id, and new ledger rows of its partitions, each from the expected
-- row. Skipped records are stored as gaps. Returns OK, or MOVED with the actual rows, like `apply`.
local function adopt(keys, args)
  local root = find_prefix(keys[1])
  local adoption = cmsgpack.unpack(args[1])
  local generation = redis.call('HGET', keys[1], 'generation') or ''
  local base = root .. generation .. ':'
  if generation == '' or adoption.generation ~= generation or differs_from_ledger(base .. 'ledger', adoption.moves) then
    return make_moved_reply(base .. 'ledger', generation, adoption.moves)
  end
  redis.call('HSET', base .. 'manifest', 'topic:' .. adoption.topic, adoption.topic_id)
  advance(base .. 'ledger', adoption.moves)
  for _, gap in ipairs(adoption.gaps) do redis.call('HSET', root .. 'gaps', gap[1], gap[2]) end
  redis.call('PUBLISH', root .. 'moved', '')
  return {'OK'}
end

-- The settings that folding depends on: all of a project's record but the first day of its week.
local function strip_week_start(project)
  return (string.gsub(project, '"week_start":"%a*"', ''))
end

-- Store projects in the shard. args: a new version, then slug, JSON, … A project that is not named stays: an empty catalog
-- must not turn a site's events into dead letters. The version changes only if settings that folding depends on have
-- changed. A new project changes nothing for the others, and delays no worker.
local function set_projects(keys, args)
  local key = find_prefix(keys[1]) .. 'projects'
  local is_changed, updated = redis.call('HEXISTS', key, ':version') == 0, {}
  for i = 2, #args, 2 do
    local stored = redis.call('HGET', key, args[i])
    if stored ~= args[i + 1] then
      is_changed = is_changed or (stored and strip_week_start(stored) ~= strip_week_start(args[i + 1]))
      redis.call('HSET', key, args[i], args[i + 1])
      updated[#updated + 1] = args[i]
    end
  end
  if is_changed then redis.call('HSET', key, ':version', args[1]) end
  if #updated > 0 then redis.call('PUBLISH', find_prefix(keys[1]) .. 'moved', table.concat(updated, ',')) end
  return redis.call('HGET', key, ':version')
end

-- Run every command that `apply` uses, on keys of its own: a missing right is found before it can tear a batch.
local function probe(keys)
  local base = find_prefix(keys[1]) .. 'probe:'
  local hash, zset, set, text, sketch = base .. 'hash', base .. 'zset', base .. 'set', base .. 'text', base .. 'sketch'
  redis.call('HSET', hash, 'a', 1)
  redis.call('HINCRBY', hash, 'a', 1)
  redis.call('HGET', hash, 'a')
  redis.call('HMGET', hash, 'a')
  redis.call('HLEN', hash)
  redis.call('HSCAN', hash, 0)
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

-- A function that takes more than its predecessor gets a new name. A worker calls `probe` at its start, and loads the
-- library if the server does not have that version.
local function apply(keys, args) return write_batch(keys, args, 'generation') end
local function build(keys, args) return write_batch(keys, args, 'building') end

redis.register_function('rta_probe_v6', probe)
redis.register_function('rta_apply_v6', apply)
redis.register_function('rta_build_v6', build)
redis.register_function('rta_begin_v1', begin)
redis.register_function('rta_adopt_v1', adopt)
redis.register_function('rta_projects_v1', set_projects)
