-- ARGV worker, kind, digest, status, body, life (ms), lease (ms; 0: not to be taken), max entries,
--      max bytes
-- Returns work | wait | done, entry, status, the work, the poll's last worker if the lease was not to be
--         taken.

if not is_open() then return {'gone'} end
local t = now()
extend(t, t + tonumber(ARGV[6]))
local entry
if ARGV[3] ~= '' then
  local known, outcome = string.match(redis.call('HGET', seen, ARGV[3]) or '', '^(%d+):(%d*)$')
  if known and outcome ~= '' then return {'done', known, outcome} end
  entry = known
end
if not entry then
  local waiting, bytes = redis.call('XLEN', inbox), num(get('ibytes'))
  if waiting > 0 and (waiting >= tonumber(ARGV[8]) or bytes + #ARGV[5] > tonumber(ARGV[9])) then
    return {'busy'}
  end
  entry = text(redis.call('HINCRBY', rec, 'inn', 1))
  redis.call('XADD', inbox, entry .. '-0', 'k', ARGV[2], 's', ARGV[4], 'd', ARGV[3], 'b', ARGV[5],
    't', text(t))
  redis.call('EXPIRE', inbox, KEEP_S)
  redis.call('HINCRBY', rec, 'ibytes', #ARGV[5])
  if ARGV[3] ~= '' then
    redis.call('HSET', seen, ARGV[3], entry .. ':')
    redis.call('EXPIRE', seen, KEEP_S)
  end
end
add_waiter(entry, ARGV[1])
local lease = tonumber(ARGV[7])
local mine = lease > 0 and take(t, ARGV[1], lease)
return {mine and 'work' or 'wait', entry, '0', mine or false, lease == 0 and get('pw')}
