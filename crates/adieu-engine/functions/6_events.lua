-- Some events of a queue, behind this place ('-': from the first): for each its place, its id and
-- itself.
local function events(base, queue, after, most)
  local from = after == '-' and '-' or '(' .. after
  local found = {}
  for i, event in ipairs(redis.call('XRANGE', base .. 'q:' .. queue, from, '+', 'COUNT', most)) do
    found[i] = { event[1], event[2][2], event[2][4] }
  end
  return found
end

-- next: queues that wait for a node. The caller delivers them from now on, in order, and nobody
-- else does until it is found dead or says that it does not.
--
--   me, how many queues at most, how many events of each at most
redis.register_function('adieu_1_next', function(keys, args)
  local base, me, found = keys[1], tonumber(args[1]), {}
  local ready = redis.call('ZRANGEBYSCORE', base .. 'r', 0, '+inf', 'LIMIT', 0, tonumber(args[2]))
  for _, queue in ipairs(ready) do
    if not is_done(base, queue) then
      redis.call('ZADD', base .. 'r', -me, queue)
      found[#found + 1] = { queue, events(base, queue, '-', tonumber(args[3])) }
    end
  end
  return found
end)

-- taken: the backend has taken events of a queue.
--
--   me, queue, the place behind which more are wanted ('' for none), how many more at most, then
--   place and id of each
--
-- An event that is another one than the caller thinks stays. More events, if the caller delivers
-- the queue and there are some.
redis.register_function('adieu_1_taken', function(keys, args)
  local base, me, queue = keys[1], tonumber(args[1]), args[2]
  local q = base .. 'q:' .. queue
  for at = 5, #args, 2 do
    local event = redis.call('XRANGE', q, args[at], args[at])[1]
    if event and event[2][2] == args[at + 1] then
      redis.call('XDEL', q, args[at])
    end
  end
  if is_done(base, queue) then
    return {}
  end
  local of = redis.call('ZSCORE', base .. 'r', queue)
  if not of then
    redis.call('ZADD', base .. 'r', -me, queue)
  elseif tonumber(of) ~= -me then
    return {}
  end
  if args[3] == '' then
    return {}
  end
  return events(base, queue, args[3], tonumber(args[4]))
end)

-- give_back: queues that the caller does not deliver any more: me, queues.
redis.register_function('adieu_1_give_back', function(keys, args)
  local base, me, count = keys[1], tonumber(args[1]), 0
  for at = 2, #args do
    local of = redis.call('ZSCORE', base .. 'r', args[at])
    if of and tonumber(of) == -me then
      redis.call('ZADD', base .. 'r', 0, args[at])
      count = count + 1
    end
  end
  return count
end)
