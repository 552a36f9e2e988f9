#!lua name=adieu_1

-- What nodes do to the sessions of one slot, each function in one step: all of it or nothing.
--
-- KEYS[1] is the slot, for example "adieu{0a3}": what stands in braces is the hash tag, so that
-- all keys of a slot are on one node of a Redis Cluster. Each key begins with it:
--
--   s:SID   HASH    a session: see row.rs for its fields
--   m:SID   STRING  what the backend said of the session, as JSON
--   l:SID   STRING  how its last connection ended, as JSON, while it is away
--   o:SID   LIST    messages that its client has not acknowledged; the first has number a + 1
--   x       ZSET    each session once: below 0 the node that owns it, above 0 the deadline;
--                   "u:USER" is a user whose end is not told yet
--   u:USER  HASH    sessions of the user; "-p" is until when a client without a token is awaited
--   w:USER  STRING  what is told at the deadline of "u:USER"
--   q:NAME  STREAM  events that the backend has not taken, of a session (SID) or a user (u:USER)
--   r       ZSET    each queue once: below 0 the node that delivers it, else it waits for a node
--   f:NONCE STRING  the session that a page began which has not heard of it
--   i:SID:K STRING  there was a message with the idempotency key K
--   z:SID   STRING  the session is over; the nonce of its last write
--   n       STRING  how many users there are
--   c       STRING  the place of the last event of the slot
--
-- All times are the engine's, in milliseconds. Numbers stay below 2^53: Lua has no others.

local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Tells a node something; what it does not hear it finds in its audit.
local function hint(node, words)
  redis.call('PUBLISH', 'adieu:node:' .. string.format('%.0f', node), words)
end

local function number(value)
  return string.format('%.0f', value)
end

-- Where the next event of the slot stands: behind all that were before, though their queues are
-- gone and the clock was set back. A node asks for what is behind the last event that it knows.
local function next_place(base)
  local ms, count = clock(), 0
  local last_ms, last_count = string.match(redis.call('GET', base .. 'c') or '', '(%d+)-(%d+)')
  if last_ms and tonumber(last_ms) >= ms then
    ms, count = tonumber(last_ms), tonumber(last_count) + 1
  end
  local place = number(ms) .. '-' .. number(count)
  redis.call('SET', base .. 'c', place)
  return place
end

-- Appends an event to a queue. A queue that no node delivers is delivered by the node that calls.
-- What the caller has to know goes into `told`: the queue, the event's place in it, whether the
-- caller delivers the queue, which of the caller's words it is of.
local function emit(base, queue, id, body, me, told, word)
  if id == '' then
    -- Nobody is told.
    return
  end
  local place = next_place(base)
  redis.call('XADD', base .. 'q:' .. queue, place, 'i', id, 'e', body)
  local of = redis.call('ZSCORE', base .. 'r', queue)
  local whose = 'other'
  if not of then
    redis.call('ZADD', base .. 'r', -me, queue)
    whose = 'new'
  elseif tonumber(of) == -me then
    whose = 'mine'
  end
  told[#told + 1] = { queue, place, whose, word }
end

-- A queue without events is none. Whether it is.
local function is_done(base, queue)
  local q = base .. 'q:' .. queue
  if redis.call('XLEN', q) > 0 then
    return false
  end
  redis.call('DEL', q)
  redis.call('ZREM', base .. 'r', queue)
  return true
end

-- The tag of the message of this number; '' if it is not known any more.
local function tag_of(base, sid, a, z, of)
  if of < a then
    return ''
  elseif of == a then
    return z or ''
  end
  local entry = redis.call('LINDEX', base .. 'o:' .. sid, of - a - 1)
  return entry and string.sub(entry, 1, 6) or ''
end

-- Lets go of the messages up to this one.
local function trim(base, sid, a, up_to)
  if up_to <= a then
    return
  end
  local gone = redis.call('LPOP', base .. 'o:' .. sid, up_to - a) or {}
  local bytes, last = 0, nil
  for _, entry in ipairs(gone) do
    bytes = bytes + #entry
    last = entry
  end
  local s = base .. 's:' .. sid
  if last then
    redis.call('HINCRBY', s, 'b', -bytes)
    redis.call('HSET', s, 'a', number(a + #gone), 'z', string.sub(last, 1, 6))
  end
end

-- All that is known of a session, for the node that goes on with it.
local function snapshot(base, sid)
  return {
    sid,
    redis.call('HGETALL', base .. 's:' .. sid),
    redis.call('LRANGE', base .. 'o:' .. sid, 0, -1),
    redis.call('GET', base .. 'm:' .. sid) or '',
    redis.call('GET', base .. 'l:' .. sid) or '',
  }
end

-- Sessions of a user: the hash has a field that is none.
local function sessions_of(base, user)
  local u = base .. 'u:' .. user
  return redis.call('HLEN', u) - redis.call('HEXISTS', u, '-p')
end
