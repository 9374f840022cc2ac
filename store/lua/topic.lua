-- Shared by the scripts of a topic (put before each of them).
-- meta: epoch, off (last offset), bytes (of everything ever appended),
-- base (`bytes` before which the log was trimmed, roughly), hist (messages ever appended that count
-- in history: all but presence diffs, kind p).
-- log: an entry's fields are k(ind), f(rom), e(vent), p(ayload), c (bytes up to and with it), h (hist,
-- the same way), in this order.

local LAST = 9007199254740991 -- a double counts no further

local function text(n)
  return string.format('%.0f', n)
end

-- A count, or nil.
local function number(s)
  local n = s and tonumber(s)
  return n and n >= 0 and n < LAST and n % 1 == 0 and n or nil
end

-- epoch, off, bytes, base, hist; nil when the topic has no life yet or meta is not ours.
local function load(meta)
  local m = redis.pcall('HMGET', meta, 'epoch', 'off', 'bytes', 'base', 'hist')
  local epoch, off = m[1], number(m[2])
  if not epoch or not off or #epoch > 24 or not string.find(epoch, '^[%w_-]+$') then return nil end
  return epoch, off, number(m[3]) or 0, number(m[4]) or 0, number(m[5]) or 0
end

-- Whatever log there is belongs to another life. HSET comes first: once a script has written
-- anything, Redis no longer stops it for want of memory.
local function start(meta, log, epoch)
  local fields = {meta, 'epoch', epoch, 'off', '0', 'bytes', '0', 'base', '0', 'hist', '0'}
  local r = redis.pcall('HSET', unpack(fields))
  if type(r) == 'table' then
    if string.find(r.err, 'WRONGTYPE') then redis.call('DEL', meta) end
    redis.call('HSET', unpack(fields))
  end
  redis.call('DEL', log)
  return epoch, 0, 0, 0, 0
end

-- meta outlives the log by `extra` seconds; ttl: what the log gets when it is written.
local function keep_meta(meta, log, ttl, extra)
  local left = redis.call('TTL', log)
  redis.call('EXPIRE', meta, text(math.max(left, tonumber(ttl)) + tonumber(extra)))
end

local KIND, BYTES, HIST = 2, 10, 12 -- places of fields in an entry

-- One entry {id, fields}, or nil; also when the log is not ours.
local function entry(log, from, to)
  local r = redis.pcall('XRANGE', log, from, to, 'COUNT', 1)
  return not r.err and r[1] or nil
end

local function entry_at(log, offset)
  local id = text(offset) .. '-0'
  return entry(log, id, id)
end

-- The smallest offset from lo to hi whose entry has more than `limit` in a field that never falls.
-- What is not there counts as before it; hi is not looked at.
local function first_past(log, lo, hi, field, limit)
  while lo < hi do
    local mid = math.floor((lo + hi) / 2)
    local e = entry_at(log, mid)
    if not e or (number(e[2][field]) or 0) <= limit then lo = mid + 1 else hi = mid end
  end
  return lo
end

-- The log was written last longer ago than ttl. life: what writing gave it; both in seconds.
local function outlived(log, life, ttl)
  local left = redis.call('PTTL', log)
  return left >= 0 and tonumber(life) * 1000 - left > tonumber(ttl) * 1000
end

-- Whether the log holds all that came after offset `at`, without a hole, and no more of it than
-- `size` messages of history.
local function reaches(log, off, at, size, life, ttl)
  if at >= off then return at == off end
  local first, after, last = entry(log, '-', '+'), entry_at(log, at + 1), entry_at(log, off)
  if not after or not last or outlived(log, life, ttl) then return false end
  if redis.call('XLEN', log) ~= off - tonumber(string.match(first[1], '^%d+')) + 1 then return false end
  local h, total = number(after[2][HIST]), number(last[2][HIST])
  if not h or not total then return false end
  if after[2][KIND] ~= 'p' then h = h - 1 end
  return total - h <= tonumber(size)
end

-- One broadcast: numbers it, appends it, sends it to every worker, trims the log, renews the TTLs.
-- to: meta, log (keys), channel, fresh (an epoch, in case that none is there), messages and bytes
-- (what the log holds), history (messages of it to keep), log_ttl, meta_ttl (s). The topic as loaded
-- comes along. Returns epoch, offset (text).
local function broadcast(to, kind, from, event, payload, epoch, off, bytes, base, hist)
  local meta, log, size = to.meta, to.log, #event + #payload + 64

  -- HSET refuses when Redis is out of memory, before anything has changed; after it, XADD can only
  -- fail because of a log that is not ours.
  local offset
  local function append()
    off, bytes = off + 1, bytes + size
    offset = text(off)
    if kind ~= 'p' then hist = hist + 1 end
    local total, h = text(bytes), text(hist)
    redis.call('HSET', meta, 'off', offset, 'bytes', total, 'hist', h)
    local r = redis.pcall('XADD', log, offset .. '-0',
      'k', kind, 'f', from, 'e', event, 'p', payload, 'c', total, 'h', h)
    return type(r) == 'string'
  end

  if not epoch then epoch, off, bytes, base, hist = start(meta, log, to.fresh) end
  if not append() then
    epoch, off, bytes, base, hist = start(meta, log, to.fresh)
    append()
  end

  redis.call('SPUBLISH', to.channel, '1 ' .. epoch .. ' ' .. offset .. ' ' .. kind .. ' ' .. #from ..
    ' ' .. #event .. '\n' .. from .. event .. payload)

  -- The offset of the oldest entry.
  local function oldest()
    return tonumber(string.match(entry(log, '-', '+')[1], '^%d+'))
  end

  -- Trimming by number, every 100 messages: what stays is the last to.messages entries, whatever they
  -- are, and the last to.history messages of history with all that stands between and directly before
  -- them (so that the position of the message before the first of them can still be gone on from).
  if off % 100 == 0 then
    local first, stays, history = oldest(), off - tonumber(to.messages) + 1, tonumber(to.history)
    if stays > first and history > 0 then
      stays = first_past(log, first, stays, HIST, hist - history - 1)
    end
    if stays > first then redis.call('XTRIM', log, 'MINID', text(stays) .. '-0') end
  end

  -- Trimming by bytes, once for each eighth of the bound.
  local max = tonumber(to.bytes)
  if bytes - base > max then
    local limit = bytes - max * 7 / 8
    local stays = first_past(log, oldest(), off, BYTES, limit)
    redis.call('XTRIM', log, 'MINID', text(stays) .. '-0')
    redis.call('HSET', meta, 'base', text(limit))
  end

  redis.call('EXPIRE', log, to.log_ttl)
  redis.call('EXPIRE', meta, to.meta_ttl)
  return epoch, offset
end
