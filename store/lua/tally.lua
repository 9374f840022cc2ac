#!lua flags=allow-oom
-- What a worker says of itself, for public/info.lua. Also when Redis is out of memory: it takes the
-- place of what the worker said before.
-- KEYS  hash, worker -> what it says; sorted set, workers by when they said so (ms)
-- ARGV  worker, what it says, ms after which what was not renewed is dropped, ttl of the keys (s)

local hash, at = KEYS[1], KEYS[2]

-- Only both together are ours.
if redis.call('TYPE', hash).ok ~= 'hash' or redis.call('TYPE', at).ok ~= 'zset' then
  redis.call('DEL', hash, at)
end

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', hash, ARGV[1], ARGV[2])
redis.call('ZADD', at, string.format('%.0f', now), ARGV[1])
local old = string.format('%.0f', now - tonumber(ARGV[3]))
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', at, '-inf', old, 'LIMIT', 0, 10)) do
  redis.call('HDEL', hash, worker)
  redis.call('ZREM', at, worker)
end
redis.call('EXPIRE', hash, ARGV[4])
redis.call('EXPIRE', at, ARGV[4])
return 'OK'
