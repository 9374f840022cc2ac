-- Shared by the scripts of a topic (put before each of them).
-- meta: epoch, off (last offset), bytes (of everything ever appended),
-- base (`bytes` before which the log was trimmed, roughly).

local LAST = 9007199254740991 -- a double counts no further

local function text(n)
  return string.format('%.0f', n)
end

-- A count, or nil.
local function number(s)
  local n = s and tonumber(s)
  return n and n >= 0 and n < LAST and n % 1 == 0 and n or nil
end

-- epoch, off, bytes, base; nil when the topic has no life yet or meta is not ours.
local function load(meta)
  local m = redis.pcall('HMGET', meta, 'epoch', 'off', 'bytes', 'base')
  local epoch, off = m[1], number(m[2])
  if not epoch or not off or #epoch > 24 or not string.find(epoch, '^[%w_-]+$') then return nil end
  return epoch, off, number(m[3]) or 0, number(m[4]) or 0
end

-- Whatever log there is belongs to another life. HSET comes first: once a script has written
-- anything, Redis no longer stops it for want of memory.
local function start(meta, log, epoch)
  local fields = {meta, 'epoch', epoch, 'off', '0', 'bytes', '0', 'base', '0'}
  local r = redis.pcall('HSET', unpack(fields))
  if type(r) == 'table' then
    if string.find(r.err, 'WRONGTYPE') then redis.call('DEL', meta) end
    redis.call('HSET', unpack(fields))
  end
  redis.call('DEL', log)
  return epoch, 0, 0, 0
end

-- meta outlives the log by `extra` seconds; ttl: what the log gets when it is written.
local function keep_meta(meta, log, ttl, extra)
  local left = redis.call('TTL', log)
  redis.call('EXPIRE', meta, text(math.max(left, tonumber(ttl)) + tonumber(extra)))
end

-- One broadcast: numbers it, appends it, sends it to every worker, trims the log, renews the TTLs.
-- to: meta, log (keys), channel, fresh (an epoch, in case that none is there), messages and bytes
-- (what the log holds), log_ttl, meta_ttl (s). The topic as loaded comes along.
-- Returns epoch, offset (text).
local function broadcast(to, kind, from, event, payload, epoch, off, bytes, base)
  local meta, log, size = to.meta, to.log, #event + #payload + 64

  -- HSET refuses when Redis is out of memory, before anything has changed; after it, XADD can only
  -- fail because of a log that is not ours.
  local offset
  local function append()
    off, bytes = off + 1, bytes + size
    offset = text(off)
    local total = text(bytes)
    redis.call('HSET', meta, 'off', offset, 'bytes', total)
    local r = redis.pcall('XADD', log, 'MAXLEN', '~', to.messages, offset .. '-0',
      'k', kind, 'f', from, 'e', event, 'p', payload, 'c', total)
    return type(r) == 'string'
  end

  if not epoch then epoch, off, bytes, base = start(meta, log, to.fresh) end
  if not append() then
    epoch, off, bytes, base = start(meta, log, to.fresh)
    append()
  end

  redis.call('SPUBLISH', to.channel, '1 ' .. epoch .. ' ' .. offset .. ' ' .. kind .. ' ' .. #from ..
    ' ' .. #event .. '\n' .. from .. event .. payload)

  -- Trimming by bytes, once for each eighth of the bound: the first entry to stay is searched by
  -- its cumulative count.
  local max = tonumber(to.bytes)
  if bytes - base > max then
    local limit = bytes - max * 7 / 8
    local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
    local lo, hi = tonumber(string.match(first[1], '^%d+')), off
    while lo < hi do
      local mid = math.floor((lo + hi) / 2)
      local e = redis.call('XRANGE', log, text(mid) .. '-0', text(mid) .. '-0')[1]
      if not e or (number(e[2][10]) or 0) <= limit then lo = mid + 1 else hi = mid end
    end
    redis.call('XTRIM', log, 'MINID', text(lo) .. '-0')
    redis.call('HSET', meta, 'base', text(limit))
  end

  redis.call('EXPIRE', log, to.log_ttl)
  redis.call('EXPIRE', meta, to.meta_ttl)
  return epoch, offset
end
