-- ARGV mount, vsn, params, claims, id, life (ms), ms until it expires for good (0: never)

if redis.call('EXISTS', rec) == 1 then return {'busy'} end
local t = now()
set('mount', ARGV[1], 'vsn', ARGV[2], 'params', ARGV[3], 'claims', ARGV[4], 'id', ARGV[5],
  'until', text(t + tonumber(ARGV[6])), 'slot', '1')
if ARGV[7] ~= '0' then set('exp', text(t + tonumber(ARGV[7]))) end
redis.call('DEL', slots, state, inbox, queue, seen, due, timers) -- after the first HSET: it heeds maxmemory
keep(t)
return {'ok'}
