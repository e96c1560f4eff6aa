-- Fourth part of the library: the values of persons, each under a token that is compared.
--
-- `person:<project>` has of each person the token and the value behind it. Persons are by far the most values of a call, so
-- they travel as columns: an object each, and a text each for the tokens, cost more than all the rest of a call.

local TOKEN_BYTES = 8
local NO_TOKEN = '\0\0\0\0\0\0\0\0' -- expected of a person who has no value
local PERSON_BYTES = 65536 -- of a value, at most

-- Append the indexes of those whose token differs. `before`: the index of the group's first person.
local function note_differing(base, group, before, differing)
  local ids, expected, key = group[2], group[3], base .. 'person:' .. group[1]
  for first = 1, #ids, CHUNK do
    local last = math.min(first + CHUNK - 1, #ids)
    local tokens = redis.call('HMGET', key, unpack(ids, first, last))
    for i = 1, #tokens do tokens[i] = tokens[i] and string.sub(tokens[i], 1, TOKEN_BYTES) or NO_TOKEN end
    if table.concat(tokens) ~= string.sub(expected, (first - 1) * TOKEN_BYTES + 1, last * TOKEN_BYTES) then
      for i = 1, #tokens do
        local index = first + i - 2
        if tokens[i] ~= string.sub(expected, index * TOKEN_BYTES + 1, (index + 1) * TOKEN_BYTES) then
          differing[#differing + 1] = before + index
        end
      end
    end
  end
end

-- Compare: the indexes of the persons whose token is not the expected one, counted from 0 through all groups.
local function list_differing_persons(base, batch)
  local differing, before = {}, 0
  for _, group in ipairs(batch.persons) do
    note_differing(base, group, before, differing)
    before = before + #group[2]
  end
  return differing
end

-- Validate.
local function check_values(base, batch)
  for _, group in ipairs(batch.persons) do
    local ids, values = group[2], group[4]
    check(is_text(group[1], 512) and is_table(ids) and is_table(values) and #values == #ids, 'persons')
    check(type(group[3]) == 'string' and #group[3] == #ids * TOKEN_BYTES, 'persons')
    check_type(base .. 'person:' .. group[1], 'hash')
    for i = 1, #ids do
      local id, value = ids[i], values[i]
      if type(id) ~= 'string' or #id > 512 or type(value) ~= 'string' then check(false, 'persons') end
      if #value > TOKEN_BYTES + PERSON_BYTES or (#value < TOKEN_BYTES and value ~= '') then check(false, 'persons') end
    end
  end
end

-- Write: values together; empty ones are deleted.
local function write_persons(base, batch)
  for _, group in ipairs(batch.persons) do
    local key, ids, values = base .. 'person:' .. group[1], group[2], group[4]
    for first = 1, #ids, CHUNK do
      local fields, top = {}, 0
      for i = first, math.min(first + CHUNK - 1, #ids) do
        if values[i] == '' then redis.call('HDEL', key, ids[i])
        else
          fields[top + 1], fields[top + 2] = ids[i], values[i]
          top = top + 2
        end
      end
      if top > 0 then redis.call('HSET', key, unpack(fields)) end
    end
  end
end
