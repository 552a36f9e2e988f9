-- write: what the owner of a session changes, under the fence (epoch, nonce).
--
--   sid, epoch and nonce of the write before, epoch and nonce of this one, me, then changes:
--
--   F count (field value)...   fields of the row
--   O                          the caller owns the session
--   W ms                       the session is away, for so long
--   T number tag               the client has the messages up to this one, which has this tag
--   E id body                  an event of the session
--   L json / l                 how the last connection ended / there is none
--   M json                     what the backend said of the session
--   J user id body most        its user has a session more; the event is told of the first
--   V user ms id body          its user has a session less; the event is told of the last, after
--                              so long if the client has no token to come back with
--   B nonce                    the page that begins it has this nonce
--   b                          that page has heard of its session, if there is one
--   D                          the session is over
--
-- OK with what became of the events; REPEATED: this write was made before; FENCED: another node
-- owns the session, or it is over; ROLLED_BACK: the engine has lost what this write builds on;
-- FULL: the user has no room for a session; BEGAN sid: the page has begun a session before.

local ARGUMENTS = {
  O = 0, W = 1, T = 2, E = 2, L = 1, l = 0, M = 1, J = 4, V = 4, B = 1, b = 0, D = 0,
}
-- How long an end is remembered, against a start that comes late.
local OVER = 60000
-- How long a page that has not heard of its session finds it.
local FIRST_VISIT = 60000

-- The session that a page with this nonce has begun, if it is the same page.
local function began(base, nonce, fields)
  local sid = redis.call('GET', base .. 'f:' .. nonce)
  if not sid then
    return nil
  end
  local row = redis.call('HMGET', base .. 's:' .. sid, 'f', 'o', 'u', 'd', 'a')
  local same = row[1] == nonce and (row[2] or '') == (fields.o or '')
    and (row[3] or '') == (fields.u or '')
  if same and (row[3] or row[4] == fields.d) and (row[5] or '0') == '0' then
    return sid
  end
  return nil
end

local function refused(base, sid, row, args, first)
  local a, t = tonumber(row[3] or '0'), tonumber(row[4] or '0')
  local at, fields, nonce, user, most = first, {}, nil, nil, nil
  while at <= #args do
    local op = args[at]
    if op == 'F' then
      local count = tonumber(args[at + 1])
      for i = 0, count - 1 do
        fields[args[at + 2 + 2 * i]] = args[at + 3 + 2 * i]
      end
      at = at + 2 + 2 * count
    else
      if op == 'T' then
        local up_to = tonumber(args[at + 1])
        local other = up_to >= a and up_to > 0
          and tag_of(base, sid, a, row[5], up_to) ~= args[at + 2]
        if up_to > t or other then
          return { 'ROLLED_BACK' }
        end
      elseif op == 'J' then
        user, most = args[at + 1], tonumber(args[at + 4])
      elseif op == 'B' then
        nonce = args[at + 1]
      end
      at = at + 1 + ARGUMENTS[op]
    end
  end
  local before = nonce and began(base, nonce, fields)
  if before then
    return { 'BEGAN', before }
  end
  if user and sessions_of(base, user) >= most then
    return { 'FULL' }
  end
  return nil
end

local function join(base, sid, me, user, id, body, told)
  local u = base .. 'u:' .. user
  local leaving = redis.call('ZREM', base .. 'x', 'u:' .. user) == 1
  if leaving then
    -- The user was never told as gone.
    redis.call('DEL', base .. 'w:' .. user)
  elseif sessions_of(base, user) == 0 then
    redis.call('INCR', base .. 'n')
    emit(base, 'u:' .. user, id, body, me, told, 'J')
  end
  redis.call('HSET', u, sid, '')
end

local function leave(base, sid, me, now, user, linger, id, body, told)
  local u = base .. 'u:' .. user
  if redis.call('HDEL', u, sid) == 0 then
    return
  end
  if linger > 0 then
    redis.call('HSET', u, '-p', number(now + linger))
  end
  if sessions_of(base, user) > 0 then
    return
  end
  local until_ = tonumber(redis.call('HGET', u, '-p') or '0')
  if until_ > now then
    redis.call('ZADD', base .. 'x', number(until_), 'u:' .. user)
    redis.call('SET', base .. 'w:' .. user, id .. '\n' .. body)
  else
    redis.call('DEL', u)
    redis.call('DECR', base .. 'n')
    emit(base, 'u:' .. user, id, body, me, told, 'V')
  end
end

-- The page is not found by its nonce any more; another session of it is.
local function heard(base, sid)
  local first = redis.call('HGET', base .. 's:' .. sid, 'f')
  if first then
    redis.call('HDEL', base .. 's:' .. sid, 'f')
    if redis.call('GET', base .. 'f:' .. first) == sid then
      redis.call('DEL', base .. 'f:' .. first)
    end
  end
end

local function forget(base, sid, nonce)
  local s = base .. 's:' .. sid
  heard(base, sid)
  redis.call('DEL', s, base .. 'o:' .. sid, base .. 'm:' .. sid, base .. 'l:' .. sid)
  redis.call('ZREM', base .. 'x', sid)
  redis.call('SET', base .. 'z:' .. sid, nonce, 'PX', OVER)
end

local function write(keys, args)
  local base, sid, me = keys[1], args[1], tonumber(args[6])
  local s = base .. 's:' .. sid
  local row = redis.call('HMGET', s, 'e', 'n', 'a', 't', 'z', 'h')
  if row[1] then
    if row[1] == args[4] and row[2] == args[5] then
      return { 'REPEATED' }
    end
    if row[1] ~= args[2] or row[2] ~= args[3] then
      local newer = tonumber(row[1]) > tonumber(args[2])
      return { newer and 'FENCED' or 'ROLLED_BACK' }
    end
  else
    local over = redis.call('GET', base .. 'z:' .. sid)
    if over == args[5] then
      return { 'REPEATED' }
    end
    if over or args[2] ~= '0' then
      return { 'FENCED' }
    end
  end
  local no = refused(base, sid, row, args, 7)
  if no then
    return no
  end
  local now, at, told, over = clock(), 7, { 'OK' }, false
  local a = tonumber(row[3] or '0')
  while at <= #args do
    local op = args[at]
    if op == 'F' then
      local count = tonumber(args[at + 1])
      redis.call('HSET', s, unpack(args, at + 2, at + 1 + 2 * count))
      at = at + 2 + 2 * count
    else
      if op == 'O' then
        redis.call('ZADD', base .. 'x', -me, sid)
      elseif op == 'W' then
        local until_ = math.max(now + tonumber(args[at + 1]), tonumber(row[6] or '0'))
        redis.call('ZADD', base .. 'x', number(until_), sid)
        redis.call('HDEL', s, 'h')
      elseif op == 'T' then
        -- There may be several: each knows what the one before it has taken out.
        local up_to = tonumber(args[at + 1])
        trim(base, sid, a, up_to)
        a = math.max(a, up_to)
      elseif op == 'E' then
        emit(base, sid, args[at + 1], args[at + 2], me, told, 'E')
      elseif op == 'L' then
        redis.call('SET', base .. 'l:' .. sid, args[at + 1])
      elseif op == 'l' then
        redis.call('DEL', base .. 'l:' .. sid)
      elseif op == 'M' then
        redis.call('SET', base .. 'm:' .. sid, args[at + 1])
      elseif op == 'J' then
        join(base, sid, me, args[at + 1], args[at + 2], args[at + 3], told)
      elseif op == 'V' then
        local linger = tonumber(args[at + 2])
        leave(base, sid, me, now, args[at + 1], linger, args[at + 3], args[at + 4], told)
      elseif op == 'B' then
        redis.call('SET', base .. 'f:' .. args[at + 1], sid, 'PX', FIRST_VISIT)
      elseif op == 'b' then
        heard(base, sid)
      elseif op == 'D' then
        over = true
      end
      at = at + 1 + ARGUMENTS[op]
    end
  end
  if over then
    forget(base, sid, args[5])
  else
    redis.call('HSET', s, 'e', args[4], 'n', args[5])
  end
  return told
end
redis.register_function('adieu_1_write', write)
