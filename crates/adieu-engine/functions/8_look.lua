-- Looking at sessions changes nothing.

-- A session as it is shown: sid, fields, how many messages it keeps, its owner or deadline.
local function view(base, sid)
  return {
    sid, redis.call('HGETALL', base .. 's:' .. sid),
    redis.call('LLEN', base .. 'o:' .. sid),
    redis.call('ZSCORE', base .. 'x', sid) or '0',
  }
end

-- look: one session: sid.
redis.register_function{ function_name = 'adieu_1_look', flags = { 'no-writes' },
  callback = function(keys, args)
    if redis.call('EXISTS', keys[1] .. 's:' .. args[1]) == 0 then
      return { clock(), {} }
    end
    return { clock(), { view(keys[1], args[1]) } }
  end }

-- look_user: the sessions of a user: user.
redis.register_function{ function_name = 'adieu_1_look_user', flags = { 'no-writes' },
  callback = function(keys, args)
    local all = {}
    for _, sid in ipairs(redis.call('HKEYS', keys[1] .. 'u:' .. args[1])) do
      if sid ~= '-p' then
        all[#all + 1] = view(keys[1], sid)
      end
    end
    return { clock(), all }
  end }

-- list: sessions in the order of their names, above this one ('' for all), so many at most.
redis.register_function{ function_name = 'adieu_1_list', flags = { 'no-writes' },
  callback = function(keys, args)
    local names, all = {}, {}
    for _, name in ipairs(redis.call('ZRANGE', keys[1] .. 'x', 0, -1)) do
      if string.sub(name, 1, 2) ~= 'u:' and name > args[1] then
        names[#names + 1] = name
      end
    end
    table.sort(names)
    for i = 1, math.min(#names, tonumber(args[2])) do
      all[i] = view(keys[1], names[i])
    end
    return { clock(), all }
  end }

-- count: sessions that are here, sessions that are away, users, queues with events.
redis.register_function{ function_name = 'adieu_1_count', flags = { 'no-writes' },
  callback = function(keys, args)
    local x = keys[1] .. 'x'
    local here = redis.call('ZCOUNT', x, '-inf', '(0')
    local away = redis.call('ZCOUNT', x, 0, '+inf')
    local leaving = 0
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', x, 0, '+inf')) do
      if string.sub(name, 1, 2) == 'u:' then
        leaving = leaving + 1
      end
    end
    local users = tonumber(redis.call('GET', keys[1] .. 'n') or '0')
    return { here, away - leaving, users - leaving, redis.call('ZCARD', keys[1] .. 'r') }
  end }
