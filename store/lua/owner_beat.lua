#!lua flags=allow-oom
-- An owner's sign of life, or that of whoever cleans up after one.
-- Also when Redis is out of memory: nobody is to die of that.
-- KEYS sorted set of owners by deadline   ARGV owner, ms from now, 1 when it may be new
-- Returns 1, or 0 when it is not there any more (and nothing was changed).

local key = KEYS[1]
local kind = redis.call('TYPE', key).ok
if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', key) end
if ARGV[3] ~= '1' and not redis.call('ZSCORE', key, ARGV[1]) then return 0 end
local t = redis.call('TIME')
local at = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[2])
redis.call('ZADD', key, string.format('%.0f', at), ARGV[1])
return 1
