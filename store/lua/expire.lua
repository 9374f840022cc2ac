-- The sweeper's look at one session.
-- ARGV worker, lease (ms), when the caller saw that it is due (ms), longest delay since then (ms)
-- Returns none | late | alive, deadline, socket id, 1 when it has timers or entries |
--      later, deadline | won, reason, deadline, work.
-- late: this call has been on its way for so long (Redis stood still?) that nobody may be declared
-- dead on its account.

local function has_work()
  local entries = redis.pcall('XLEN', inbox)
  return redis.call('EXISTS', timers) == 1 or (type(entries) == 'number' and entries > 0)
end

if redis.call('TYPE', rec).ok ~= 'hash' then return {'none'} end
local t, lease = now(), tonumber(ARGV[2])
if t - tonumber(ARGV[3]) > tonumber(ARGV[4]) then return {'late'} end
local vsn, ended, deadline, id, lease_deadline, exp = get('vsn', 'ended', 'until', 'id', 'lease', 'exp')
if not vsn then return {'none'} end
local due = num(deadline)
if exp then due = math.min(due, num(exp)) end
if not ended and due > t then return {'alive', text(due), id, has_work() and 1 or 0} end
if lease_held(t, lease) then return {'later', text(num(lease_deadline))} end
if not ended then
  ended = num(deadline) > t and 'token expired' or 'expired'
  finish(ended, t)
end
local fence = redis.call('HINCRBY', rec, 'fence', 1)
set('holder', ARGV[1], 'lease', text(t + lease), 'swept', '1')
return {'won', ended, text(t + lease), work(fence, first_entry())}
