-- ARGV worker, fence, entry, lease (ms), q's max entries, q's max bytes, numbers of: slots to set,
--      slots to drop, messages; outcome (0: as the entry says); '=' and the note, or nothing; number of
--      timers; then (number, slot, state)..., (number)..., ("slot:name", ms, what its entry says; empty:
--      cancelled)..., (message)...
-- Returns ok, outcome, waiting workers, the poll's worker and generation, next work or nil;
--      over, waiting workers, the poll's worker and generation: the queue was full, the session ended.

if not is_open() then return {'gone'} end
local fence, done, pw, pg = get('fence', 'ind', 'pw', 'pg')
if fence ~= ARGV[2] then return {'busy'} end
local t, worker, entry, lease = now(), ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local sets, drops, messages = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local outcome, waiters = '0', get('w' .. ARGV[3]) or ''
local at = 12

local function arg()
  at = at + 1
  return ARGV[at]
end

-- The timers of slots that are gone go with them.
local function drop_timers(gone)
  for _, field in ipairs(redis.call('ZRANGE', due, 0, -1)) do
    if gone[string.match(field, '^%d+')] then
      redis.call('ZREM', due, field)
      redis.call('HDEL', timers, field)
    end
  end
end

local function write_slots()
  local following = num(get('slot'))
  set('slot', text(following)) -- before any deletion, so that maxmemory is heeded
  for _ = 1, sets do
    local number, slot, st = arg(), arg(), arg()
    redis.call('HSET', slots, number, slot)
    redis.call('HSET', state, number, st)
    following = math.max(following, tonumber(number) + 1)
  end
  local gone = {}
  for _ = 1, drops do
    local number = arg()
    redis.call('HDEL', slots, number)
    redis.call('HDEL', state, number)
    gone[number] = true
    following = math.max(following, tonumber(number) + 1) -- joined and left by this very entry
  end
  if drops > 0 then drop_timers(gone) end
  set('slot', text(following))
  if ARGV[11] ~= '' then set('note', string.sub(ARGV[11], 2)) end
  redis.call('EXPIRE', slots, KEEP_S)
  redis.call('EXPIRE', state, KEEP_S)
end

-- A timer that came while the entry was worked that cancels it.
local function drop_entries(field)
  for _, e in ipairs(redis.call('XRANGE', inbox, text(entry + 1) .. '-0', '+')) do
    if e[2][10] == field and e[2][9] == 'n' then
      redis.call('XDEL', inbox, e[1])
      redis.call('HINCRBY', rec, 'ibytes', -#e[2][8])
    end
  end
end

local function write_timers()
  if ARGV[12] == '0' then return end
  for _ = 1, tonumber(ARGV[12]) do
    local field, ms, message = arg(), tonumber(arg()), arg()
    if message ~= '' and ms > 0 then
      redis.call('ZADD', due, text(t + ms), field)
      redis.call('HSET', timers, field, message)
    else
      if redis.call('ZREM', due, field) == 0 and message == '' then drop_entries(field) end
      redis.call('HDEL', timers, field)
      if message ~= '' then add_timer(field, message) end
    end
  end
  redis.call('EXPIRE', due, KEEP_S)
  redis.call('EXPIRE', timers, KEEP_S)
end

-- False when the client has not fetched what it has for too long. One entry's own messages always fit:
-- a POST may hold as many lines as its body has room for, and each is answered.
local function write_messages()
  if messages == 0 then return true end
  local n, bytes, base = get('qn', 'qbytes', 'qbase')
  n, bytes = num(n), num(bytes)
  if redis.call('XLEN', queue) >= tonumber(ARGV[5]) or bytes - num(base) >= tonumber(ARGV[6]) then
    return false
  end
  for _ = 1, messages do
    local message = arg()
    n, bytes = n + 1, bytes + #message
    redis.call('XADD', queue, text(n) .. '-0', 'm', message, 'c', text(bytes))
  end
  set('qn', text(n), 'qbytes', text(bytes))
  redis.call('EXPIRE', queue, KEEP_S)
  return true
end

-- Forgets the outcome of an entry, unless it is to be remembered still.
local function forget(n)
  local place = 'o' .. text(n % OUTCOMES_MAX)
  local known, at, digest = string.match(get(place) or '', '^(%d+) %d+ (%d+) (.*)$')
  if known == text(n) then
    if entry - n < OUTCOMES_MAX and t - tonumber(at) < OUTCOMES_MS then return false end
    redis.call('HDEL', rec, place)
    if string.match(redis.call('HGET', seen, digest) or '', '^%d+') == known then
      redis.call('HDEL', seen, digest)
    end
  end
  return true
end

local function forget_outcomes()
  local first = num(get('of'))
  if first == 0 then first = entry end
  while entry - first >= OUTCOMES and forget(first) do first = first + 1 end
  set('of', text(first))
end

-- Takes the entry out of the inbox and remembers its outcome.
local function write_outcome()
  local first = redis.call('XRANGE', inbox, ARGV[3] .. '-0', ARGV[3] .. '-0')[1]
  local digest = ''
  outcome = '200'
  if first then
    outcome, digest = ARGV[10] == '0' and first[2][4] or ARGV[10], first[2][6]
    redis.call('XDEL', inbox, first[1])
    redis.call('HINCRBY', rec, 'ibytes', -#first[2][8])
  end
  forget_outcomes()
  set('o' .. text(entry % OUTCOMES_MAX),
    ARGV[3] .. ' ' .. outcome .. ' ' .. text(t) .. ' ' .. digest, 'ind', ARGV[3])
  if digest ~= '' then redis.call('HSET', seen, digest, ARGV[3] .. ':' .. outcome) end
  redis.call('HDEL', rec, 'w' .. ARGV[3])
end

-- A commit that is repeated because its answer was lost has been applied already.
if entry > num(done) then
  write_slots()
  write_timers()
  if not write_messages() then
    finish('overflow', t)
    return {'over', waiters, pw or '', pg or '0'}
  end
  write_outcome()
end

local following = first_entry()
set('holder', following and worker or '', 'lease', following and text(t + lease) or '0')
if messages == 0 then pw = '' end
return {'ok', outcome, waiters, pw or '', pg or '0', following and work(fence, following) or false}
