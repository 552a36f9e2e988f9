-- claim: a node has a client with a valid token, and becomes the owner of its session, in one step
-- with the snapshot.
--
--   sid, me, nonce, generation of the token, number and tag of the last message that the client
--   received ('' where it names none), the highest acknowledgement that it was given, origin,
--   credentials, ask ('n' never, 'c' if the credentials changed, 'a' always), ms that asking takes
--
-- OK and the snapshot, with what the session was away for; EXPIRED, ORIGIN, STALE, LOST: why not;
-- ASK and the user: the backend has to be asked, and the session is waited for meanwhile;
-- ROLLED_BACK and the snapshot: the client has what the engine has lost. The caller may end the
-- session then; if it does not, it is due a moment later. ENDING and the snapshot: the backend has
-- ended the session and its owner has not done that; the caller has to.

-- The generation of a page that has no token: whatever the newest is.
local NEWEST = 4294967295

-- How long a session stays hidden that a caller has to end.
local HIDDEN = 5000

local function hold(base, sid, now, until_)
  local score = tonumber(redis.call('ZSCORE', base .. 'x', sid) or '0')
  if score > 0 then
    redis.call('ZADD', base .. 'x', number(math.max(score, until_)), sid)
  else
    redis.call('HSET', base .. 's:' .. sid, 'h', number(until_))
  end
end

-- The session is the caller's from now on: no write of an owner before it is made any more.
local function fence(base, sid, nonce, score)
  local s = base .. 's:' .. sid
  redis.call('HINCRBY', s, 'e', 1)
  redis.call('HSET', s, 'n', nonce)
  redis.call('ZADD', base .. 'x', score, sid)
end

local function claim(keys, args)
  local base, sid, me, nonce = keys[1], args[1], tonumber(args[2]), args[3]
  local s = base .. 's:' .. sid
  local row = redis.call('HMGET', s, 'e', 'g', 'c', 'i', 'a', 't', 'z', 'o', 'd', 'u', 'q')
  if not row[1] then
    return { 'EXPIRED' }
  end
  if (row[8] or '') ~= args[8] then
    return { 'ORIGIN' }
  end
  local now, old = clock(), tonumber(redis.call('ZSCORE', base .. 'x', sid) or '0')
  local token, received, tag, acknowledged =
    tonumber(args[4]), tonumber(args[5]), args[6], tonumber(args[7])
  local g, c, i = tonumber(row[2]), tonumber(row[3]), tonumber(row[4] or '0')
  local a, t = tonumber(row[5] or '0'), tonumber(row[6] or '0')
  if token == NEWEST then
    token = g
  end
  if token < c then
    return { 'STALE' }
  end
  local other = tag ~= '' and received > 0 and received >= a and received <= t
    and tag_of(base, sid, a, row[7], received) ~= tag
  if token > g or acknowledged > i or received > t or other then
    fence(base, sid, nonce, number(now + HIDDEN))
    return { 'ROLLED_BACK', snapshot(base, sid) }
  end
  if received < a then
    return { 'LOST' }
  end
  if row[11] then
    fence(base, sid, nonce, number(now + HIDDEN))
    return { 'ENDING', snapshot(base, sid) }
  end
  if args[10] == 'a' or args[10] == 'c' and row[9] ~= args[9] then
    hold(base, sid, now, now + tonumber(args[11]))
    return { 'ASK', row[10] or '' }
  end
  if old < 0 and old ~= -me then
    hint(-old, 'x' .. sid .. row[1])
  end
  local away = redis.call('HGET', s, 'y') or ''
  fence(base, sid, nonce, -me)
  trim(base, sid, a, received)
  redis.call('HSET', s, 'g', number(g + 1), 'c', number(token), 'd', args[9])
  redis.call('HINCRBY', s, 'k', 1)
  redis.call('HDEL', s, 'y', 'w', 'h')
  redis.call('DEL', base .. 'l:' .. sid)
  return { 'OK', snapshot(base, sid), away }
end
redis.register_function('adieu_1_claim', claim)

-- finish: the backend ends a session.
--
--   sid, me, nonce, the Close as JSON ('' for the usual one)
--
-- NONE: there is none; YOURS and the snapshot: the session is away, and the caller has to end it;
-- OWNER: the caller owns it; ASKED: its owner is told, and whoever goes on with it if that fails.
local function finish(base, sid, me, nonce, close)
  local s, now = base .. 's:' .. sid, clock()
  if redis.call('EXISTS', s) == 0 then
    return { 'NONE' }
  end
  local score = tonumber(redis.call('ZSCORE', base .. 'x', sid) or '0')
  redis.call('HSET', s, 'q', close)
  if score >= 0 then
    fence(base, sid, nonce, number(now + HIDDEN))
    return { 'YOURS', snapshot(base, sid) }
  elseif score == -me then
    return { 'OWNER' }
  end
  hint(-score, 'e' .. sid .. close)
  return { 'ASKED' }
end
redis.register_function('adieu_1_finish', function(keys, args)
  return finish(keys[1], args[1], tonumber(args[2]), args[3], args[4])
end)

-- hold: the client of a session was told to come back, and is waited for until then: sid, ms.
redis.register_function('adieu_1_hold', function(keys, args)
  local base, sid = keys[1], args[1]
  if redis.call('EXISTS', base .. 's:' .. sid) == 0 then
    return 0
  end
  local now = clock()
  hold(base, sid, now, now + tonumber(args[2]))
  return 1
end)
