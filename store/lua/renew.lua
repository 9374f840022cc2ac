-- ARGV fence, lease (ms)

local vsn, ended, swept, fence = get('vsn', 'ended', 'swept', 'fence')
if not vsn or (ended and not swept) then return {'gone'} end
if fence ~= ARGV[1] then return {'busy'} end
set('lease', text(now() + tonumber(ARGV[2])))
return {'ok'}
