-- For how long processes that come and go have found Redis answering, without a long pause.
-- KEYS hash: since, last (ms)   ARGV longest pause (ms)
-- Returns that time (ms).

local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
local now = redis.call('TIME')
local t = now[1] * 1000 + math.floor(now[2] / 1000)
local since, last = unpack(redis.call('HMGET', KEYS[1], 'since', 'last'))
since, last = tonumber(since or ''), tonumber(last or '')
if not since or not last or since > t or t - last > tonumber(ARGV[1]) then since = t end
redis.call('HSET', KEYS[1], 'since', string.format('%.0f', since), 'last', string.format('%.0f', t))
redis.call('EXPIRE', KEYS[1], 3600)
return string.format('%.0f', t - since)
