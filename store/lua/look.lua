-- ARGV cursor, worker, generation
-- Returns like poll.lua, but for the last; busy: another poll has taken over.

if not is_open() then return {'gone'} end
local pw, pg, qn = get('pw', 'pg', 'qn')
if pw ~= ARGV[2] or pg ~= ARGV[3] then return {'busy'} end
local cursor = math.min(tonumber(ARGV[1]), num(qn))
return {'ok', '', '0', redis.call('HGETALL', slots),
  redis.call('XRANGE', queue, text(cursor + 1) .. '-0', '+'), ''}
