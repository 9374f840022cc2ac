-- Claims the sessions with something due: nobody else gets them for a while.
-- KEYS list   ARGV limit, claim (ms)
-- Returns ms until the next one ("-1": there is none), the claim's deadline, sessions.

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local claim = string.format('%.0f', now + tonumber(ARGV[2]))
local sids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0,
  ARGV[1])
for _, sid in ipairs(sids) do redis.call('ZADD', KEYS[1], claim, sid) end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local wait = first[2] and string.format('%.0f', math.max(tonumber(first[2]) - now, 0)) or '-1'
return {wait, claim, sids}
