-- Which sessions are due to be looked at.
-- KEYS sweep (sorted set: session, when)   ARGV limit, random number
-- Returns now, 1 when there are more, sessions. With many, each worker begins at a random place.

local now = text(now_ms())
local limit, count = tonumber(ARGV[1]), redis.call('ZCOUNT', list, '-inf', now)
if count > 0 then redis.call('ZADD', list, 'XX', '0', '') end -- nothing; refused where writes are
local skip = count > limit and tonumber(ARGV[2]) % (count - limit + 1) or 0
return {now, count > limit and 1 or 0,
  redis.call('ZRANGEBYSCORE', list, '-inf', now, 'LIMIT', skip, limit)}
