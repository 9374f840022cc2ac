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
