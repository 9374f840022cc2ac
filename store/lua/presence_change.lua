-- Changes of a topic's presence, in their order.
-- KEYS  the seven of presence.lua, meta
-- ARGV  channel, base of the window, grace (ms), ttl (s), entries of a socket, bytes of the topic,
--       changes that may wait; then for each change
--         t, owner, socket, ref, prev, key (JSON string), meta after its brace
--         u, socket, r | k | a (by ref, by key, all), that ref or key, 1 when the socket vanished
-- Returns when the next flush is due (ms from now, -1: none is), 1 when the caller is to see to it,
-- epoch, offset, and for each change
--   ok | taken <ref> | invalid | many (entries of the socket) | full | busy
--   number of entries that go

local channel, base, grace_ms, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local max_refs, max_bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
local t = now()
local w = window(t, base, grace_ms)
local overdue = w.due and t > w.due + 300
local waiting = ask('LLEN', pend)
local epoch, off

-- An entry in its grace that looks the same goes over to the new socket. Returns its ref.
local function take_over(owner, socket, key, rest)
  local m = mark(key, rest)
  for _, member in ipairs(ask('ZRANGEBYLEX', alike, '[' .. m, '(' .. m .. '~', 'LIMIT', 0, 4)) do
    local ref = string.sub(member, 41)
    local s = ask('HGET', pres, ref)
    local e = parse(s)
    redis.call('ZREM', alike, member)
    if ask('ZREM', grace, ref) == 1 and e then
      e.owner, e.socket = owner, socket
      local new = pack(e)
      redis.call('HSET', pres, ref, new)
      w.bytes = w.bytes + #new - #s
      if not epoch then epoch, off = load(KEYS[8]) end
      return ref
    end
  end
end

local function track(owner, socket, ref, prev, key, rest)
  local refs = ask('HGET', own, socket) or ''
  if place_of(refs, ref) then return 'ok' end
  if ask('HEXISTS', fresh, ref) == 1 or ask('HEXISTS', pres, ref) == 1 then return 'invalid' end
  if prev ~= '' then
    if not place_of(refs, prev) then return 'invalid' end
  else
    if #refs >= max_refs * 16 then return 'many' end
    local old = grace_ms > 0 and take_over(owner, socket, key, rest)
    if old then
      set_own(socket, refs .. old)
      return 'taken ' .. old
    end
  end
  if w.bytes > max_bytes then return 'full' end
  if waiting >= tonumber(ARGV[7]) then return 'busy' end

  local item = 'j' .. ref
  if prev ~= '' then
    refs = without(refs, prev)
    local s = ask('HGET', fresh, prev)
    if s then -- nobody has seen it: what that one was to replace is replaced
      redis.call('HDEL', fresh, prev)
      w.bytes = w.bytes - #s
      local e = parse(s)
      prev = e and e.prev or ''
    end
    if prev ~= '' then item = 'u' .. ref .. prev end
  end
  w.seq = w.seq + 1
  local s = pack({seq = text(w.seq), owner = owner, socket = socket, prev = prev, key = key,
    rest = rest})
  ask('HSET', fresh, ref, s)
  w.bytes = w.bytes + #s
  add_change(w, t, item)
  waiting = waiting + 1
  set_own(socket, refs .. ref)
  return 'ok'
end

local function untrack(socket, by, value, vanished)
  local refs, stay, gone = ask('HGET', own, socket) or '', {}, 0
  for i = 1, #refs, 16 do
    local ref, goes = string.sub(refs, i, i + 15), by == 'a'
    if by == 'r' then
      goes = ref == value
    elseif by == 'k' then
      local e = parse(ask('HGET', fresh, ref) or ask('HGET', pres, ref))
      goes = not e or e.key == value
    end
    if goes then
      leave(w, t, ref, vanished == '1' and grace_ms or 0)
      gone = gone + 1
    else
      stay[#stay + 1] = ref
    end
  end
  if gone > 0 then set_own(socket, table.concat(stay)) end
  return text(gone)
end

local results, i = {}, 8
while ARGV[i] do
  local a, b, c, d, e, f = unpack(ARGV, i + 1, i + 6)
  if ARGV[i] == 't' then
    results[#results + 1] = track(a, b, c, d, e, f)
    i = i + 7
  else
    results[#results + 1] = untrack(a, b, c, d)
    i = i + 5
  end
end

save(w)
keep(ttl)
announce(w, t, channel)
return {due_in(w, t), (w.announce or overdue) and 1 or 0, epoch or '', off and text(off) or '0',
  results}
