-- Third part of the library: the orders that a project has counted, so that each counts once.
--
-- `o:<project>` has of each order id the stream time at which it was counted last. Nobody asks for them beforehand: a batch
-- names the times that it took for true (-1: not counted yet), and is refused, with the stored ones, where they differ.

local ORDERS_KEPT_MS = 7 * 86400000
local ORDERS_LAG_MS = 28 * 86400000 -- a partition that is further behind, or was not written to for so long, keeps none
local ORDERS_FORGOTTEN = 1000 -- of a project that go with a call, and twice as many as it adds

-- Compare: the number of a set, that of an id in it (both from 0), and the time that is stored, in turn.
local function list_differing_orders(base, batch)
  local found = {}
  for i, set in ipairs(batch.orders) do
    local ids, expected = set[2], set[3]
    for first = 1, #ids, CHUNK do
      local held = redis.call('ZMSCORE', base .. 'o:' .. set[1], unpack(ids, first, math.min(first + CHUNK - 1, #ids)))
      for j = 1, #held do
        local at, place = held[j] and tonumber(held[j]) or -1, first + j - 1
        if at ~= expected[place] then
          found[#found + 1] = i - 1
          found[#found + 1] = place - 1
          found[#found + 1] = at
        end
      end
    end
  end
  return found
end

-- Validate: looked at as loose ids are.
local function check_orders(base, batch)
  check_list(batch.orders, is_table, 'orders')
  for _, set in ipairs(batch.orders) do
    check(is_text(set[1], KEY_MAX), 'orders')
    check_type(base .. 'o:' .. set[1], 'zset')
    check_ids(set[2], set[3], set[4], 'orders')
  end
end

-- Up to then no order decides any more, in whichever partition is furthest behind; by the rows before the ledger moves.
local function find_order_horizon(ledger)
  local oldest, newest, cursor = nil, 0, '0'
  repeat
    local page = redis.call('HSCAN', ledger, cursor, 'COUNT', CHUNK)
    cursor = page[1]
    for i = 2, #page[2], 2 do
      local at = tonumber(string.match(page[2][i], '|(%d+)$')) or 0
      oldest, newest = math.min(oldest or at, at), math.max(newest, at)
    end
  until cursor == '0'
  return math.max(oldest or 0, newest - ORDERS_LAG_MS) - ORDERS_KEPT_MS
end

-- Write. The oldest ids of a project go, a few with each call that has orders of it.
local function write_orders(base, batch)
  local before = #batch.orders > 0 and find_order_horizon(base .. 'ledger')
  for _, set in ipairs(batch.orders) do
    local key, pairs_of = base .. 'o:' .. set[1], {}
    for i = 1, #set[2] do
      if set[4][i] >= 0 then
        pairs_of[#pairs_of + 1] = set[4][i]
        pairs_of[#pairs_of + 1] = set[2][i]
      end
    end
    visit_chunks(pairs_of, 1, function(i, j) redis.call('ZADD', key, unpack(pairs_of, i, j)) end)
    local due = before >= 0 and redis.call('ZCOUNT', key, '-inf', before) or 0
    local most = math.min(due, ORDERS_FORGOTTEN + #pairs_of)
    if most > 0 then redis.call('ZREMRANGEBYRANK', key, 0, most - 1) end
  end
end

local function has_new_orders(batch)
  for _, set in ipairs(batch.orders) do
    for i = 1, #set[4] do if set[4][i] ~= -1 then return true end end
  end
  return false
end
