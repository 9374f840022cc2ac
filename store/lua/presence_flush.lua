-- Publishes what has changed, when it is due; who comes late or twice finds nothing to do.
-- KEYS  the seven of presence.lua, meta, log
-- ARGV  channel, base of the window, grace (ms), ttl (s), entries above which the topic is
--       count-only (0: none), bytes above which it is so in any case, bytes of a state that may be
--       broadcast, bytes of a diff, new epoch, messages and bytes of the log, log ttl, meta ttl (s),
--       messages of history to keep
-- Returns when the next flush is due (ms from now, -1: none is), events, changes published.

local ITEMS, EVENTS = 1000, 4 -- of one call
local channel, base, grace_ms, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local above, state_max = tonumber(ARGV[5]), tonumber(ARGV[6])
local sync_max, diff_max = tonumber(ARGV[7]), tonumber(ARGV[8])
local meta = KEYS[8]
local to = {meta = meta, log = KEYS[9], channel = channel, fresh = ARGV[9], messages = ARGV[10],
  bytes = ARGV[11], log_ttl = ARGV[12], meta_ttl = ARGV[13], history = ARGV[14]}
local t = now()
local w = window(t, base, grace_ms)

local function publish(event, payload)
  broadcast(to, 'p', '', event, payload, load(meta))
end

-- The window's hash may have been lost alone.
if not w.due and (ask('LLEN', pend) > 0 or ask('ZCARD', grace) > 0) then w.due = t end
if w.due and w.due < w.free then w.due = math.max(w.due, w.free) end
if not w.due or t < w.due then return {due_in(w, t), 0, 0} end

-- Whose grace is over leaves.
for _, ref in ipairs(ask('ZRANGEBYSCORE', grace, '-inf', text(t), 'LIMIT', 0, ITEMS)) do
  local e = parse(ask('HGET', pres, ref))
  redis.call('ZREM', grace, ref)
  if e then ask('ZREM', alike, mark(e.key, e.rest) .. ref) end
  ask('RPUSH', pend, 'l' .. ref)
end

-- The entries that the items name, asked for in bulk.
local items = ask('LRANGE', pend, 0, ITEMS - 1)
local function fetch(key, refs)
  local found = {}
  for i = 1, #refs, 200 do
    local some = {unpack(refs, i, math.min(i + 199, #refs))}
    for j, s in ipairs(ask('HMGET', key, unpack(some))) do found[some[j]] = s end
  end
  return found
end
local joining, leaving = {}, {}
for _, item in ipairs(items) do
  local verb = string.sub(item, 1, 1)
  if verb ~= 'l' then joining[#joining + 1] = string.sub(item, 2, 17) end
  if verb ~= 'j' then leaving[#leaving + 1] = string.sub(item, verb == 'l' and 2 or 18) end
end
local joined, left = fetch(fresh, joining), fetch(pres, leaving)

-- One diff after another.
local function half() return {keys = {}, metas = {}} end
local joins, leaves, size, changes, diffs = half(), half(), 0, 0, {}
local put, taken = {}, {} -- for HSET pres; for HDEL fresh and pres
local function add(part, key, meta_)
  local list = part.metas[key]
  if not list then
    list = {}
    part.metas[key] = list
    part.keys[#part.keys + 1] = key
    size = size + #key + 16
  end
  list[#list + 1] = meta_
  size = size + #meta_ + 1
  changes = changes + 1
end
local function half_text(part)
  local out = {}
  for i, key in ipairs(part.keys) do
    out[i] = key .. ':{"metas":[' .. table.concat(part.metas[key], ',') .. ']}'
  end
  return '{' .. table.concat(out, ',') .. '}'
end
local function close_diff()
  if size == 0 then return end
  diffs[#diffs + 1] = '{"joins":' .. half_text(joins) .. ',"leaves":' .. half_text(leaves) .. '}'
  joins, leaves, size = half(), half(), 0
end
local function join(ref)
  local s = joined[ref]
  if not s then return false end
  local e = parse(s)
  taken[#taken + 1] = ref
  joined[ref] = nil
  if e then
    put[#put + 1], put[#put + 2] = ref, s
    add(joins, e.key, meta_text(ref, e))
  end
  return true
end
local gone = {}
local function remove(ref)
  local s = left[ref]
  if not s then return end
  local e = parse(s)
  gone[#gone + 1] = ref
  left[ref] = nil
  w.bytes = w.bytes - #s
  if e then add(leaves, e.key, meta_text(ref, e)) end
end

local used = 0
for i, item in ipairs(items) do
  local verb, ref = string.sub(item, 1, 1), string.sub(item, 2, 17)
  if verb == 'l' then
    remove(ref)
  elseif join(ref) and verb == 'u' then
    remove(string.sub(item, 18))
  end
  used = i
  if size > diff_max then
    close_diff()
    if #diffs == EVENTS then break end
  end
end
close_diff()

-- What was published must be there, or nobody's picture is right any more: another epoch makes all
-- sockets join again.
local n = ask('HLEN', pres)
if w.n and w.n ~= n and load(meta) then redis.call('HSET', meta, 'epoch', ARGV[9]) end
w.n = n + #put / 2 - #gone

-- Diffs, or the mere number, or once more everything when that had been too much for a while.
local many = (above > 0 and w.n > above) or w.bytes > state_max
local sync = false
if w.mode ~= 'c' and many then
  w.mode = 'c'
elseif w.mode == 'c' and not many and (above == 0 or w.n <= above / 2) and w.bytes <= sync_max then
  w.mode, sync = '', true
end
local events = 0
if changes > 0 and w.mode == 'c' then
  publish('presence_count', '{"count":' .. text(w.n) .. '}')
  events = 1
elseif not sync then
  for _, diff in ipairs(diffs) do publish('presence_diff', diff) end
  events = #diffs
end

local function apply(verb, key, args)
  for i = 1, #args, 200 do
    redis.call(verb, key, unpack(args, i, math.min(i + 199, #args)))
  end
end
apply('HDEL', fresh, taken)
apply('HDEL', pres, gone)
apply('HSET', pres, put)
redis.call('LTRIM', pend, used, -1)

if sync then
  local all, entries = half(), {}
  local flat = redis.call('HGETALL', pres)
  for i = 1, #flat, 2 do
    local e = parse(flat[i + 1])
    if e then
      e.ref = flat[i]
      entries[#entries + 1] = e
    end
  end
  table.sort(entries, function(a, b) return tonumber(a.seq) < tonumber(b.seq) end)
  for _, e in ipairs(entries) do add(all, e.key, meta_text(e.ref, e)) end
  publish('presence_state', half_text(all))
  events = 1
end

-- Many changes: collect for longer. Many to tell: tell them less often.
if changes >= 40 then
  w.win = math.min(w.win * 2, MAX_WINDOW_MS)
elseif changes < 10 then
  w.win = math.max(math.floor(w.win / 2), base)
end
w.free = t + math.max(GAP_MS * math.max(events, 1), math.min(w.n / PER_MS, MAX_WINDOW_MS))
w.due = nil
if #items == ITEMS or used < #items then
  wake(w, w.free)
else
  local first = ask('ZRANGE', grace, 0, 0, 'WITHSCORES')[2]
  if first then wake(w, math.max(number(first) or t, w.free)) end
end
if w.n == 0 and ask('HLEN', fresh) == 0 then w.bytes = 0 end
save(w)
keep(ttl)
announce(w, t, channel)
return {due_in(w, t), events, changes}
