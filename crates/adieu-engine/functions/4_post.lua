-- post: a message to a session, appended under its slot whichever node owns it. The engine is the
-- mailbox: once this says OK the message waits for the client and not for a node.
--
--   sid, me, key ('' for none), messages and bytes that are kept at most, the message: 6 bytes of
--   tag, then what the client is sent
--
-- OK with the message's number and the node that owns the session (0: it is away; the caller reads
-- the message from what it sent); REPEATED: there was one with this key; NONE: no such session.

-- How long an idempotency key is known.
local KEYS_KNOWN = 600000

local function post(base, sid, me, key, messages, bytes, entry)
  local s = base .. 's:' .. sid
  local row = redis.call('HMGET', s, 'e', 'p', 'a')
  if not row[1] then
    return { 'NONE' }
  end
  if key ~= '' then
    local known = base .. 'i:' .. sid .. ':' .. key
    if not redis.call('SET', known, '', 'NX', 'PX', KEYS_KNOWN) then
      return { 'REPEATED' }
    end
  end
  local sent = redis.call('HINCRBY', s, 't', 1)
  local score = tonumber(redis.call('ZSCORE', base .. 'x', sid) or '0')
  local owner = score < 0 and -score or 0
  if row[2] then
    -- Its client acknowledges nothing: it gets the message once, or not at all.
    redis.call('HSET', s, 'a', sent, 'z', string.sub(entry, 1, 6))
  else
    local o, a = base .. 'o:' .. sid, tonumber(row[3] or '0')
    local length = redis.call('RPUSH', o, entry)
    local kept = redis.call('HINCRBY', s, 'b', #entry)
    while length > 1 and (length > messages or kept > bytes) do
      trim(base, sid, a, a + 1)
      a, length = a + 1, length - 1
      kept = tonumber(redis.call('HGET', s, 'b'))
    end
  end
  if owner ~= 0 and owner ~= me then
    hint(owner, 'm' .. sid .. number(sent) .. ' ' .. entry)
  end
  return { 'OK', sent, number(owner) }
end
redis.register_function('adieu_1_post', function(keys, args)
  return post(keys[1], args[1], tonumber(args[2]), args[3], tonumber(args[4]),
    tonumber(args[5]), args[6])
end)

-- post_user: the same to each session of a user: user, then as above. For each session of the
-- user: its name and what post says of it.
redis.register_function('adieu_1_post_user', function(keys, args)
  local base, told = keys[1], {}
  for _, sid in ipairs(redis.call('HKEYS', base .. 'u:' .. args[1])) do
    if sid ~= '-p' then
      told[#told + 1] = { sid, post(base, sid, tonumber(args[2]), args[3], tonumber(args[4]),
        tonumber(args[5]), args[6]) }
    end
  end
  return told
end)

-- answered: what the backend answered to an event of a session is done, and with it the event is
-- taken. Done before: GONE.
--
--   sid, me, place and id of the event, messages and bytes that are kept at most, whether to end
--   the session ('1' or ''), its Close, nonce, then the messages
--
-- OK, what post says of each message, then what finish says.
redis.register_function('adieu_1_answered', function(keys, args)
  local base, sid, me = keys[1], args[1], tonumber(args[2])
  local event = redis.call('XRANGE', base .. 'q:' .. sid, args[3], args[3])[1]
  if not event or event[2][2] ~= args[4] then
    return { 'GONE' }
  end
  redis.call('XDEL', base .. 'q:' .. sid, args[3])
  is_done(base, sid)
  local told = {}
  for at = 10, #args do
    told[#told + 1] = post(base, sid, me, '', tonumber(args[5]), tonumber(args[6]), args[at])
  end
  local ended = { 'NONE' }
  if args[7] == '1' then
    ended = finish(base, sid, me, args[9], args[8])
  end
  return { 'OK', told, ended }
end)

-- mail: the messages behind this number, for an owner that a hint has not reached: sid, number.
-- The number of the first, and the messages.
redis.register_function{ function_name = 'adieu_1_mail', flags = { 'no-writes' },
  callback = function(keys, args)
    local base, sid, from = keys[1], args[1], tonumber(args[2])
    local a = tonumber(redis.call('HGET', base .. 's:' .. sid, 'a') or '0')
    local skip = math.max(from - a, 0)
    return { number(a + skip + 1), redis.call('LRANGE', base .. 'o:' .. sid, skip, -1) }
  end }
