-- ARGV fence
-- Returns ok, socket id.

local vsn, fence, id = get('vsn', 'fence', 'id')
if not vsn then return {'gone'} end
if fence ~= ARGV[1] then return {'busy'} end
redis.call('DEL', unpack(KEYS))
return {'ok', id}
