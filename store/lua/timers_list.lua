-- Puts a session on the list of those with something due; not later than it is there already.
-- KEYS list   ARGV session, delay (ms), the list's ttl (s)

local t = redis.call('TIME')
local at = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[2])
local known = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or at + 1)
if at < known then redis.call('ZADD', KEYS[1], string.format('%.0f', at), ARGV[1]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 'OK'
