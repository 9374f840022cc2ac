-- Shared by the scripts of a list of sessions, a sorted set at KEYS[1] (put before each of them). What
-- is there of another type is not ours.

local list = KEYS[1]
local kind = redis.call('TYPE', list).ok
if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', list) end

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function text(n)
  return string.format('%.0f', n)
end
