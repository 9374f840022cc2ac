-- Puts a session into a list with a deadline (the sweep list, or that of a socket id).
-- KEYS sorted set   ARGV session, deadline (ms; 0: now), ms to add to it, the list's ttl (s),
--                   members this long past their deadline are dropped (ms)

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local at = tonumber(ARGV[2])
if at == 0 then at = now end
redis.call('ZADD', KEYS[1], string.format('%.0f', at + tonumber(ARGV[3])), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - tonumber(ARGV[5])))
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 'OK'
