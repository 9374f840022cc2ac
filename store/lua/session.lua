-- Shared by the scripts of a session (put before each of them). All eight keys are passed always.
-- record: mount vsn params claims id | until (life's deadline) kept (key TTLs set) | ended (reason)
--         exp (deadline of what its client may do, which nothing moves; none: never)
--         holder lease (deadline) fence | pw pg (the poll's worker and generation)
--         qn (last id in q) qbytes (ever added) qbase (of it acknowledged) ack (highest cursor)
--         inn (last entry in the inbox) ind (last one done) ibytes | slot (next number)
--         w<entry> (workers that wait for it) | o<entry % 256> ("entry status time digest": outcomes)
--         at (the entry that was handed out last)
--         of (the first entry whose outcome is remembered) | note (the workers' own)
-- due:    "slot:name" of a timer, by when it is due; timers: the same -> what its entry says
-- seen:   digest -> "entry:" or, when it is done, "entry:status"
-- All times in ms by Redis' own clock.

local rec, slots, state, inbox, queue, seen, due, timers = unpack(KEYS)
local KEEP_S, KEEP_EVERY_MS = 7200, 600000

-- How many outcomes are remembered in any case, for how long more than these, and how many at most: a
-- copy of a POST may have lain with a worker that stood still while the client went on elsewhere.
local OUTCOMES, OUTCOMES_MS, OUTCOMES_MAX = 16, 60000, 256

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function text(n)
  return string.format('%.0f', n)
end

local function num(v)
  return tonumber(v or 0) or 0
end

local function get(...)
  return unpack(redis.call('HMGET', rec, ...))
end

local function set(...)
  redis.call('HSET', rec, ...)
end

-- A session whose client's token has run out is as good as ended; the sweep ends it.
local function is_open()
  local vsn, ended, exp = get('vsn', 'ended', 'exp')
  return vsn and not ended and not (exp and num(exp) <= now())
end

-- Keys' TTLs are for garbage only. Returns true when they were renewed.
local function keep(t)
  if t - num(get('kept')) < KEEP_EVERY_MS then return false end
  set('kept', text(t))
  for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, KEEP_S) end
  return true
end

local function extend(t, to)
  if to > num(get('until')) then set('until', text(to)) end
  return keep(t)
end

-- The inbox stays until the record is dropped: whoever cleans up has to know what a worker that died
-- over it was at.
local function finish(reason, t)
  set('ended', reason, 'until', text(t))
  redis.call('DEL', queue, seen, due, timers)
end

-- A deadline further away than a lease is long was set by a clock that has gone back.
local function lease_held(t, lease)
  local deadline = num(get('lease'))
  return deadline > t and deadline - t <= lease
end

local function first_entry()
  return redis.call('XRANGE', inbox, '-', '+', 'COUNT', 1)[1]
end

local function work(fence, entry)
  local mount, vsn, params, claims, id, slot, note, at =
    get('mount', 'vsn', 'params', 'claims', 'id', 'slot', 'note', 'at')
  local again = entry and at == entry[1]
  if entry and not again then set('at', entry[1]) end
  return {fence, mount, vsn, params, claims, id, slot, redis.call('HGETALL', slots),
    redis.call('HGETALL', state), entry or false, note or '',
    redis.call('ZRANGE', due, 0, -1), again and '1' or '0'}
end

-- What a timer has to say becomes an entry, for which no client waits.
local function add_timer(field, message)
  local body = 't' .. string.match(field, '^%d+:') .. message
  local entry = text(redis.call('HINCRBY', rec, 'inn', 1))
  redis.call('XADD', inbox, entry .. '-0', 'k', 'i', 's', '200', 'd', '', 'b', body, 'n', field)
  redis.call('EXPIRE', inbox, KEEP_S)
  redis.call('HINCRBY', rec, 'ibytes', #body)
end

-- The lease and the first entry, or nil when it is held or there is nothing to do.
local function take(t, worker, lease)
  local entry = first_entry()
  if not entry or lease_held(t, lease) then return nil end
  local fence = redis.call('HINCRBY', rec, 'fence', 1)
  set('holder', worker, 'lease', text(t + lease))
  return work(fence, entry)
end

local function add_waiter(entry, worker)
  local field = 'w' .. entry
  local list, n = get(field) or '', 0
  for w in string.gmatch(list, '%S+') do
    n = n + 1
    if w == worker then return end
  end
  if n < 4 then set(field, list == '' and worker or list .. ' ' .. worker) end
end
