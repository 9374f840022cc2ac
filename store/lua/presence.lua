-- Shared by the scripts of a topic's presence (put before each of them, after topic.lua).
-- pres   hash, phx_ref -> entry: what is published
-- fresh  hash, phx_ref -> entry: joins that are not published yet
-- pend   list of what the next flush has to look at, in order: "j<ref>" a join, "l<ref>" a leave,
--        "u<ref><prev>" a join that replaces a published entry
-- own    hash, socket -> its refs, one after another, without those that are leaving
-- win    hash: due (when the next flush is to run), win (ms), free (no flush before), seq (of the
--        last entry), bytes (of all entries), mode ('c': count-only), n (published entries)
-- grace  sorted set: published entries of vanished sockets, by the end of their grace
-- alike  sorted set (scores 0), sha1 of key and meta, then ref: the same, to find one to take over
-- All times in ms by Redis' own clock. A ref has 16 characters. An entry is
-- "<seq> <lengths of owner, socket, prev, key>\n", these four, and the meta after its brace.

local pres, fresh, pend, own, win, grace, alike = unpack(KEYS)
local GAP_MS = 50 -- at most 20 events a second
local PER_MS = 20 -- and one for each ms and so many entries: with 5,000 every 250 ms
local MAX_WINDOW_MS = 1000

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A command on a key that may not be ours: then it is dropped.
local function ask(verb, key, ...)
  local r = redis.pcall(verb, key, ...)
  if type(r) ~= 'table' or not r.err then return r end
  if string.find(r.err, 'WRONGTYPE', 1, true) then redis.call('DEL', key) end
  return redis.call(verb, key, ...)
end

local function pack(e)
  return e.seq .. ' ' .. #e.owner .. ' ' .. #e.socket .. ' ' .. #e.prev .. ' ' .. #e.key .. '\n' ..
    e.owner .. e.socket .. e.prev .. e.key .. e.rest
end

local function parse(s)
  if not s then return nil end
  local seq, a, b, c, d, at = string.match(s, '^(%d+) (%d+) (%d+) (%d+) (%d+)\n()')
  if not at then return nil end
  a, b, c, d = at + a, at + a + b, at + a + b + c, at + a + b + c + d
  if d > #s then return nil end
  return {seq = seq, owner = string.sub(s, at, a - 1), socket = string.sub(s, a, b - 1),
    prev = string.sub(s, b, c - 1), key = string.sub(s, c, d - 1), rest = string.sub(s, d)}
end

-- The entry's meta as clients see it.
local function meta_text(ref, e)
  local prev = e.prev ~= '' and ',"phx_ref_prev":"' .. e.prev .. '"' or ''
  return '{"phx_ref":"' .. ref .. '"' .. prev .. (e.rest == '}' and '' or ',') .. e.rest
end

local function mark(key, rest)
  return redis.sha1hex(key .. '\n' .. rest)
end

-- The window's hash. What a clock that has gone back has left in the future is forgotten.
local function window(t, base, grace_ms)
  local m = ask('HMGET', win, 'due', 'win', 'free', 'seq', 'bytes', 'mode', 'n')
  local w = {due = number(m[1]), win = number(m[2]) or base, free = number(m[3]) or 0,
    seq = number(m[4]) or 0, bytes = number(m[5]) or 0, mode = m[6] or '', n = number(m[7])}
  if w.due and w.due > t + grace_ms + 4 * MAX_WINDOW_MS then w.due = t end
  if w.free > t + 4 * MAX_WINDOW_MS then w.free = 0 end
  -- The load is long over.
  if not w.due and t > w.free + 4 * w.win then w.win = base end
  w.win = math.max(base, math.min(w.win, MAX_WINDOW_MS))
  return w
end

local function save(w)
  redis.call('HSET', win, 'due', w.due and text(w.due) or '', 'win', text(w.win), 'free',
    text(w.free), 'seq', text(w.seq), 'bytes', text(math.max(w.bytes, 0)), 'mode', w.mode)
  if w.n then redis.call('HSET', win, 'n', text(w.n)) end
end

-- Asks for a flush at `at`, unless one runs before that.
local function wake(w, at)
  if not w.due or at < w.due then w.due, w.announce = at, true end
end

local function add_change(w, t, item)
  ask('RPUSH', pend, item)
  wake(w, math.max(t + w.win, w.free))
end

local function keep(ttl)
  for i = 1, 7 do redis.call('EXPIRE', KEYS[i], ttl) end
end

-- So that somebody flushes even when whoever should has died.
local function announce(w, t, channel)
  if w.announce then redis.call('SPUBLISH', channel, 'p ' .. text(math.max(w.due - t, 0))) end
end

local function due_in(w, t)
  return w.due and text(math.max(w.due - t, 0)) or '-1'
end

-- Ends an entry. One that nobody has seen is taken back, and what it was to replace leaves.
local function leave(w, t, ref, grace_ms)
  local s = ask('HGET', fresh, ref)
  if s then
    local e = parse(s)
    redis.call('HDEL', fresh, ref)
    w.bytes = w.bytes - #s
    if not e or e.prev == '' then return end
    ref = e.prev
  end
  if grace_ms > 0 then
    local e = parse(ask('HGET', pres, ref))
    if e then
      ask('ZADD', grace, text(t + grace_ms), ref)
      ask('ZADD', alike, 0, mark(e.key, e.rest) .. ref)
      wake(w, t + grace_ms)
      return
    end
  end
  add_change(w, t, 'l' .. ref)
end

-- The position in `refs` where ref begins, or nil.
local function place_of(refs, ref)
  for i = 1, #refs, 16 do
    if string.sub(refs, i, i + 15) == ref then return i end
  end
end

local function without(refs, ref)
  local i = place_of(refs, ref)
  return i and string.sub(refs, 1, i - 1) .. string.sub(refs, i + 16) or refs
end

local function set_own(socket, refs)
  if refs == '' then ask('HDEL', own, socket) else ask('HSET', own, socket, refs) end
end
