-- Puts a session on the list of those with something due; not later than it is there already.
-- KEYS list   ARGV session, delay (ms), the list's ttl (s)

-- Always at another time than before: that may be a claim, and who has it may have found nothing
-- before this session got something (timers_next.lua).
local at = now_ms() + tonumber(ARGV[2])
local known = tonumber(redis.call('ZSCORE', list, ARGV[1]) or '')
if known then at = math.min(at, known - 1) end
redis.call('ZADD', list, text(at), ARGV[1])
redis.call('EXPIRE', list, ARGV[3])
return 'OK'
