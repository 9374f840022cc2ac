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

local offset
epoch, offset = broadcast({meta = meta, log = log, channel = ARGV[6], fresh = ARGV[1],
  messages = ARGV[7], bytes = ARGV[8], log_ttl = ARGV[9], meta_ttl = ARGV[10],
  history = ARGV[14]}, kind, from, event, payload, epoch, off, bytes, base, hist)

-- The last message of each event: "offset kind payload". What is there of another type is not ours.
local function remember(latest, ttl)
  local events = redis.pcall('HLEN', latest)
  if type(events) ~= 'number' then
    redis.call('DEL', latest)
    events = 0
  end
  if #payload > tonumber(ARGV[17]) then
    redis.call('HDEL', latest, event)
  elseif redis.call('HEXISTS', latest, event) == 1 or events < tonumber(ARGV[16]) then
    redis.call('HSET', latest, event, offset .. ' ' .. kind .. ' ' .. payload)
  end
  redis.call('EXPIRE', latest, ttl)
end
if ARGV[15] ~= '0' and kind ~= 'p' then remember(KEYS[5], ARGV[15]) end

if mine then
  local n = redis.pcall('HLEN', mine.key)
  if type(n) == 'number' and n < 200000 then
    redis.call('HSET', mine.key, field, ARGV[12] .. ' ' .. offset .. ' ' .. epoch)
    redis.call('EXPIREAT', mine.key, mine.ends)
  end
end
if KEYS[6] then redis.call('SET', KEYS[6], epoch .. ':' .. offset, 'EX', 300) end
return {epoch, offset, 0}
