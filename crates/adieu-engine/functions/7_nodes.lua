-- Which nodes there are. KEYS[1] is "adieu{nodes}"; each key begins with it:
--
--   L  ZSET    when the lease of a node ends
--   D  ZSET    nodes that are dead for ever, and since when
--   S  HASH    since when a node has its lease without a gap
--   N  HASH    what a node says of itself, as JSON
--   p  STRING  no session is ended before this time
--   h  STRING  which history of the engine the nodes know (its replication id)
--   k  HASH    values that all nodes share: the key of the tokens
--   d  HASH    dead letters, by number
--
-- A node is a number of its own for each of its lives, never used again.

-- Seconds that a replica may have been silent: one that stands still is not waited for.
local LAG = 3

-- renew: a node lives on.
--
--   me, ms of the lease, ms in which no session is ended after the engine was away, what it says
--   of itself
--
-- DEAD and the time; OK, the time, since when the lease has had no gap, until when no session is
-- ended, nodes whose lease is over, the history of the engine, how many replicas follow it.
redis.register_function('adieu_1_renew', function(keys, args)
  local base, me, lease = keys[1], args[1], tonumber(args[2])
  local now = clock()
  if redis.call('ZSCORE', base .. 'D', me) then
    return { 'DEAD', number(now) }
  end
  local info = redis.call('INFO', 'replication')
  local history = string.match(info, 'master_replid:(%x+)') or ''
  local replicas = 0
  for lag in string.gmatch(info, 'slave%d+:[^\r\n]*state=online[^\r\n]*lag=(%d+)') do
    if tonumber(lag) <= LAG then
      replicas = replicas + 1
    end
  end
  local last = redis.call('ZREVRANGE', base .. 'L', 0, 0, 'WITHSCORES')[2]
  local known = redis.call('GET', base .. 'h')
  local away = last and tonumber(last) < now
  -- A lease cannot end later than one that begins now: the engine's clock was set back.
  local back = last and tonumber(last) > now + 2 * lease
  if away or back or known and known ~= history then
    redis.call('SET', base .. 'p', number(now + tonumber(args[3])))
  end
  if known ~= history then
    redis.call('SET', base .. 'h', history)
  end
  if back then
    local later = number(now + 2 * lease)
    for _, node in ipairs(redis.call('ZRANGEBYSCORE', base .. 'L', later, '+inf')) do
      redis.call('ZADD', base .. 'L', number(now + lease), node)
      redis.call('HSET', base .. 'S', node, number(now))
    end
  end
  local until_ = redis.call('ZSCORE', base .. 'L', me)
  if not until_ or tonumber(until_) < now then
    redis.call('HSET', base .. 'S', me, number(now))
  end
  redis.call('ZADD', base .. 'L', number(now + lease), me)
  redis.call('HSET', base .. 'N', me, args[4])
  return {
    'OK', number(now), redis.call('HGET', base .. 'S', me) or number(now),
    redis.call('GET', base .. 'p') or '0',
    redis.call('ZRANGEBYSCORE', base .. 'L', '-inf', '(' .. number(now)), history,
    number(replicas),
  }
end)

-- A life of a node is over.
local function die(base, node, now)
  redis.call('ZADD', base .. 'D', number(now), node)
  redis.call('ZREM', base .. 'L', node)
  redis.call('HDEL', base .. 'S', node)
  redis.call('HDEL', base .. 'N', node)
end

-- reap: another node's lease is over, and its life with it. The caller may say that whose own
-- lease had no gap for the length of one: me, the other, ms of the lease. 1: it is dead.
redis.register_function('adieu_1_reap', function(keys, args)
  local base, me, other, lease = keys[1], args[1], args[2], tonumber(args[3])
  local now = clock()
  if redis.call('ZSCORE', base .. 'D', other) then
    return 1
  end
  local mine, since = redis.call('ZSCORE', base .. 'L', me), redis.call('HGET', base .. 'S', me)
  local steady = mine and since and tonumber(mine) > now and tonumber(since) <= now - lease
  local until_ = redis.call('ZSCORE', base .. 'L', other)
  if not steady or until_ and tonumber(until_) >= now then
    return 0
  end
  die(base, other, now)
  return 1
end)

-- leave: a node ends, and holds nothing any more: me.
redis.register_function('adieu_1_leave', function(keys, args)
  die(keys[1], args[1], clock())
  return 1
end)

-- nodes: those that live, what they say of themselves and ms until their lease ends; those that
-- are dead since this long at most: ms.
redis.register_function('adieu_1_nodes', function(keys, args)
  local base, now, alive = keys[1], clock(), {}
  local all = redis.call('ZRANGE', base .. 'L', 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do
    local said = redis.call('HGET', base .. 'N', all[i]) or ''
    alive[#alive + 1] = { all[i], said, number(tonumber(all[i + 1]) - now) }
  end
  local since = number(now - tonumber(args[1]))
  return { alive, redis.call('ZRANGEBYSCORE', base .. 'D', since, '+inf') }
end)

-- shared: a value that all nodes share, made by the first that asks: name, value.
redis.register_function('adieu_1_shared', function(keys, args)
  redis.call('HSETNX', keys[1] .. 'k', args[1], args[2])
  return redis.call('HGET', keys[1] .. 'k', args[1])
end)

-- letters: all dead letters, each behind its number.
redis.register_function{ function_name = 'adieu_1_letters', flags = { 'no-writes' },
  callback = function(keys, args)
    return redis.call('HGETALL', keys[1] .. 'd')
  end }

-- letter: a dead letter is kept, or let go: its number, itself.
redis.register_function('adieu_1_letter', function(keys, args)
  if args[2] then
    return redis.call('HSET', keys[1] .. 'd', args[1], args[2])
  end
  return redis.call('HDEL', keys[1] .. 'd', args[1])
end)
