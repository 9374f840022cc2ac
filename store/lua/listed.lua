-- Puts a session into a list with a deadline (the sweep list, or that of a socket id).
-- KEYS sorted set   ARGV session, deadline (ms; 0: now), ms to add to it, the list's ttl (s),
--                   members this long past their deadline are dropped (ms)

local now = now_ms()
local at = tonumber(ARGV[2])
if at == 0 then at = now end
redis.call('ZADD', list, text(at + tonumber(ARGV[3])), ARGV[1])
redis.call('ZREMRANGEBYSCORE', list, '-inf', text(now - tonumber(ARGV[5])))
redis.call('EXPIRE', list, ARGV[4])
return 'OK'
