-- One broadcast: number it, append it, send it to every worker.
-- KEYS  meta, log, two hashes of producers (by parity of the hour), last messages [, idempotency key]
-- ARGV  new epoch, kind, from, event, payload, channel, messages to keep, max bytes, log ttl (s),
--       meta ttl (s), producer, entry, index, messages of history to keep,
--       ttl of last messages (s; 0: not kept), how many events, how many bytes
-- Returns epoch, offset, 1 when it is a repetition (and nothing was published).

local meta, log = KEYS[1], KEYS[2]
local kind, from, event, payload = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local epoch, off, bytes, base, hist = load(meta)

if KEYS[6] then
  local first = redis.pcall('GET', KEYS[6])
  if type(first) == 'string' then
    local e, o = string.match(first, '^([%w_-]+):(%d+)$')
    if e then return {e, o, 1} end
  end
end

-- A producer's hash lives until its parity comes again, so that the other one always covers the
-- last hour. The result of another epoch does not count: that log is gone, and so is the message.
local mine, field
if ARGV[11] ~= '' then
  local hour = math.floor(redis.call('TIME')[1] / 3600)
  field = ARGV[11] .. ':' .. ARGV[13]
  for parity = 0, 1 do
    local v = redis.pcall('HGET', KEYS[3 + parity], field)
    if type(v) == 'string' then
      local entry, o, e = string.match(v, '^(%d+) (%d+) ([%w_-]+)$')
      -- An entry before the one that was seen comes from a worker that stood still and lost its lease.
      if entry and tonumber(entry) >= tonumber(ARGV[12]) and e == epoch then return {e, o, 1} end
    end
  end
  mine = {key = KEYS[3 + hour % 2], ends = text((hour + 2) * 3600)}
end

local size = #event + #payload + 64

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

if not epoch then epoch, off, bytes, base, hist = start(meta, log, ARGV[1]) end
if not append() then
  epoch, off, bytes, base, hist = start(meta, log, ARGV[1])
  append()
end

redis.call('SPUBLISH', ARGV[6], '1 ' .. epoch .. ' ' .. offset .. ' ' .. kind .. ' ' .. #from ..
  ' ' .. #event .. '\n' .. from .. event .. payload)

-- The offset of the oldest entry.
local function oldest()
  return tonumber(string.match(entry(log, '-', '+')[1], '^%d+'))
end

-- Trimming by number, every 100 messages: what stays is the last ARGV[7] entries, whatever they are,
-- and the last ARGV[14] messages of history with all that stands between and directly before them
-- (so that the position of the message before the first of them can still be gone on from).
if off % 100 == 0 then
  local first, stays, history = oldest(), off - tonumber(ARGV[7]) + 1, tonumber(ARGV[14])
  if stays > first and history > 0 then
    stays = first_past(log, first, stays, HIST, hist - history - 1)
  end
  if stays > first then redis.call('XTRIM', log, 'MINID', text(stays) .. '-0') end
end

-- Trimming by bytes, once for each eighth of the bound.
local max = tonumber(ARGV[8])
if bytes - base > max then
  local limit = bytes - max * 7 / 8
  local stays = first_past(log, oldest(), off, BYTES, limit)
  redis.call('XTRIM', log, 'MINID', text(stays) .. '-0')
  redis.call('HSET', meta, 'base', text(limit))
end

-- The last message of each event: "offset kind payload". What is there of another type is not ours.
local function remember(latest, ttl)
  if type(redis.pcall('HLEN', latest)) ~= 'number' then redis.call('DEL', latest) end
  if #payload > tonumber(ARGV[17]) then
    redis.call('HDEL', latest, event)
  elseif redis.call('HEXISTS', latest, event) == 1 or redis.call('HLEN', latest) < tonumber(ARGV[16]) then
    redis.call('HSET', latest, event, offset .. ' ' .. kind .. ' ' .. payload)
  end
  redis.call('EXPIRE', latest, ttl)
end
if ARGV[15] ~= '0' and kind ~= 'p' then remember(KEYS[5], ARGV[15]) end

redis.call('EXPIRE', log, ARGV[9])
redis.call('EXPIRE', meta, ARGV[10])
if mine then
  local n = redis.pcall('HLEN', mine.key)
  if type(n) == 'number' and n < 200000 then
    redis.call('HSET', mine.key, field, ARGV[12] .. ' ' .. offset .. ' ' .. epoch)
    redis.call('EXPIREAT', mine.key, mine.ends)
  end
end
if KEYS[6] then redis.call('SET', KEYS[6], epoch .. ':' .. offset, 'EX', 300) end
return {epoch, offset, 0}
