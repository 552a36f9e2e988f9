-- due: sessions whose deadline has passed. It removes nothing: each is fenced and hidden for so
-- long, and the caller ends it. A user whose end is due is told here.
--
--   me, how many at most, ms to hide, nonces
--
-- A list of snapshots; what became of the events of users.
redis.register_function('adieu_1_due', function(keys, args)
  local base, me, most = keys[1], tonumber(args[1]), tonumber(args[2])
  local now, found, told = clock(), {}, {}
  local all = redis.call('ZRANGEBYSCORE', base .. 'x', '(0', number(now), 'LIMIT', 0, most)
  for i, name in ipairs(all) do
    if string.sub(name, 1, 2) == 'u:' then
      local user = string.sub(name, 3)
      local left = redis.call('GET', base .. 'w:' .. user)
      redis.call('ZREM', base .. 'x', name)
      redis.call('DEL', base .. 'w:' .. user, base .. 'u:' .. user)
      local at = left and string.find(left, '\n', 1, true)
      redis.call('DECR', base .. 'n')
      if at then
        emit(base, name, string.sub(left, 1, at - 1), string.sub(left, at + 1), me, told)
      end
    elseif redis.call('EXISTS', base .. 's:' .. name) == 1 then
      fence(base, name, args[3 + i], number(now + tonumber(args[3])))
      found[#found + 1] = snapshot(base, name)
    else
      redis.call('ZREM', base .. 'x', name)
    end
  end
  return { found, told }
end)

-- A session has no owner any more, and its client has so long to come back.
local function disown(base, sid, now, window, nonce)
  local s = base .. 's:' .. sid
  local row = redis.call('HMGET', s, 'h', 'q', 'p')
  local until_ = now + window
  if row[2] or row[3] then
    -- Its end is asked for already, or its client has no token to come back with.
    until_ = now
  elseif row[1] then
    until_ = math.max(until_, tonumber(row[1]))
  end
  fence(base, sid, nonce, number(until_))
  redis.call('HSET', s, 'y', 'gateway_down', 'w', number(now))
  redis.call('HDEL', s, 'h')
end

-- orphan: sessions that a dead node owned, and queues that it delivered.
--
--   the dead node, how many at most, ms that clients have to come back, nonces
--
-- How many sessions and queues there were: as many as asked for means that there may be more.
redis.register_function('adieu_1_orphan', function(keys, args)
  local base, dead, most = keys[1], '-' .. args[1], tonumber(args[2])
  local now = clock()
  local all = redis.call('ZRANGEBYSCORE', base .. 'x', dead, dead, 'LIMIT', 0, most)
  for i, sid in ipairs(all) do
    disown(base, sid, now, tonumber(args[3]), args[3 + i])
  end
  local queues = redis.call('ZRANGEBYSCORE', base .. 'r', dead, dead, 'LIMIT', 0, most)
  for _, queue in ipairs(queues) do
    redis.call('ZADD', base .. 'r', 0, queue)
  end
  return { #all, #queues }
end)

-- audit: what a node holds, and what the engine says of it.
--
--   me, how many sessions, then of each: sid, epoch, nonce, number of the last message that the
--   node knows; then the queues that it delivers
--
-- Sessions that it does not own any more (sid, 'FENCED' or 'ROLLED_BACK'), that have more messages
-- (sid, 'MAIL'), whose end is asked for (sid, 'END', Close). Sessions that the engine thinks the
-- node owns, and their epochs: the node releases those of which it waits for no answer. Queues of
-- the same kind.
redis.register_function('adieu_1_audit', function(keys, args)
  local base, me = keys[1], args[1]
  local count, found, held = tonumber(args[2]), {}, {}
  for i = 0, count - 1 do
    local at = 3 + 4 * i
    local sid = args[at]
    held[sid] = true
    local row = redis.call('HMGET', base .. 's:' .. sid, 'e', 'n', 't', 'q')
    if not row[1] then
      found[#found + 1] = { sid, 'FENCED' }
    elseif row[1] ~= args[at + 1] or row[2] ~= args[at + 2] then
      local newer = tonumber(row[1]) > tonumber(args[at + 1])
      found[#found + 1] = { sid, newer and 'FENCED' or 'ROLLED_BACK' }
    elseif row[4] then
      found[#found + 1] = { sid, 'END', row[4] }
    elseif (row[3] or '0') ~= args[at + 3] then
      found[#found + 1] = { sid, 'MAIL' }
    end
  end
  local mine, released = '-' .. me, {}
  for _, sid in ipairs(redis.call('ZRANGEBYSCORE', base .. 'x', mine, mine)) do
    if not held[sid] then
      released[#released + 1] = { sid, redis.call('HGET', base .. 's:' .. sid, 'e') or '0' }
    end
  end
  local delivers = {}
  for at = 3 + 4 * count, #args do
    delivers[args[at]] = true
  end
  local lost = {}
  for _, queue in ipairs(redis.call('ZRANGEBYSCORE', base .. 'r', mine, mine)) do
    if not delivers[queue] then
      lost[#lost + 1] = queue
    end
  end
  return { found, released, lost }
end)

-- release: a node finds that the engine thinks it owns a session that it does not hold.
--
--   sid, me, epoch, ms that the client has to come back, nonce
redis.register_function('adieu_1_release', function(keys, args)
  local base, sid = keys[1], args[1]
  local score = tonumber(redis.call('ZSCORE', base .. 'x', sid) or '0')
  local epoch = redis.call('HGET', base .. 's:' .. sid, 'e')
  if score ~= -tonumber(args[2]) or epoch ~= args[3] then
    return 0
  end
  disown(base, sid, clock(), tonumber(args[4]), args[5])
  return 1
end)
