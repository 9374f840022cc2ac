-- Who has died? First without claiming (ARGV[2] = 0), then, with the time that was answered, for
-- claiming one: a claim that was on its way for long (Redis stood still?) declares nobody dead.
-- KEYS  owners by deadline; dead ones by the deadline of who cleans up after them
-- ARGV  lease of the claim (ms), when the caller saw that somebody is due (ms; 0: only look), longest
--       delay since then (ms)
-- Returns now (ms), 1 when somebody is due, the owner that is claimed or ''.

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(n) return string.format('%.0f', n) end

local function first_due(key)
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', key) end
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', text(now), 'LIMIT', 0, 10)) do
    if #name <= 64 and string.find(name, '^[%w_-]+$') then return name end
    redis.call('ZREM', key, name)
  end
end

local live, dead = first_due(KEYS[1]), first_due(KEYS[2])
local name, seen = live or dead, tonumber(ARGV[2])
if not name then return {text(now), 0, ''} end
if seen == 0 then redis.call('ZADD', KEYS[2], 'XX', '0', '') end -- nothing; refused where writes are
if seen == 0 or now - seen > tonumber(ARGV[3]) then return {text(now), 1, ''} end
-- First of all writes: so a Redis that is out of memory, which fails those who live as well, refuses.
redis.call('ZADD', KEYS[2], text(now + tonumber(ARGV[1])), name)
if live then redis.call('ZREM', KEYS[1], name) end
return {text(now), 1, name}
