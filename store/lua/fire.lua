-- Timers that are due become entries of the inbox; then the lease is taken if it is free.
-- ARGV worker, lease (ms), most timers at once, the inbox's max entries, ms to wait for a lease's end
-- Returns work | wait, 0, 0, the work, ms until there is something to do again ("-1": never).

if redis.call('TYPE', rec).ok ~= 'hash' or not is_open() then return {'gone'} end
local t = now()
local room = math.min(tonumber(ARGV[3]), tonumber(ARGV[4]) - redis.call('XLEN', inbox))
if room > 0 then
  for _, field in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', text(t), 'LIMIT', 0, room)) do
    local message = redis.call('HGET', timers, field)
    if message then add_entry('i', 't' .. string.match(field, '^%d+:') .. message) end
    redis.call('ZREM', due, field)
    redis.call('HDEL', timers, field)
  end
end
local mine = take(t, ARGV[1], tonumber(ARGV[2]))
local wait = -1
local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
if first[2] then wait = math.max(tonumber(first[2]) - t, room > 0 and 0 or 1000) end
if redis.call('XLEN', inbox) > 0 then
  -- Whoever has the lease may die.
  wait = wait < 0 and tonumber(ARGV[5]) or math.min(wait, tonumber(ARGV[5]))
end
return {mine and 'work' or 'wait', '0', '0', mine or false, text(wait)}
