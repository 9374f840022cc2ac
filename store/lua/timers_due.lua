-- Claims the sessions with something due: nobody else gets them for a while.
-- KEYS list   ARGV limit, claim (ms)
-- Returns ms until the next one ("-1": there is none), the claim's deadline, sessions.

local now = now_ms()
local claim = text(now + tonumber(ARGV[2]))
local sids = redis.call('ZRANGEBYSCORE', list, '-inf', text(now), 'LIMIT', 0, ARGV[1])
for _, sid in ipairs(sids) do redis.call('ZADD', list, claim, sid) end
local first = redis.call('ZRANGE', list, 0, 0, 'WITHSCORES')
local wait = first[2] and text(math.max(tonumber(first[2]) - now, 0)) or '-1'
return {wait, claim, sids}
