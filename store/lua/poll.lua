-- ARGV cursor, worker, generation, window, life (ms)
-- Returns ok, previous worker, its generation, slots, queue, socket id if its list wants renewal, ms until
-- it expires for good (0: never).

if not is_open() then return {'gone'} end
local t = now()
local renewed = extend(t, t + tonumber(ARGV[4]) + tonumber(ARGV[5]))
local ack, qn, pw, pg, id, exp = get('ack', 'qn', 'pw', 'pg', 'id', 'exp')
local cursor = math.min(tonumber(ARGV[1]), num(qn))
if cursor > num(ack) then
  local last = redis.call('XREVRANGE', queue, text(cursor) .. '-0', '-', 'COUNT', 1)[1]
  if last then set('qbase', last[2][4]) end
  redis.call('XTRIM', queue, 'MINID', text(cursor + 1) .. '-0')
  set('ack', text(cursor))
end
set('pw', ARGV[2], 'pg', ARGV[3])
if pw == ARGV[2] and pg == ARGV[3] then pw = '' end
return {'ok', pw or '', pg or '0', redis.call('HGETALL', slots),
  redis.call('XRANGE', queue, text(cursor + 1) .. '-0', '+'), renewed and id or '',
  exp and text(math.max(num(exp) - t, 1)) or '0'}
