-- Removes what an owner had tracked on the topic, a portion at a time: first what is not published
-- yet, because that may become published between two calls.
-- KEYS  the seven of presence.lua
-- ARGV  channel, base of the window, grace (ms), ttl (s), owner, f(resh) | p(ublished), cursor
-- Returns when the next flush is due (ms from now, -1: none is), 1 when the caller is to see to it,
-- where to go on: f | p | '' (done), cursor.

local channel, base, grace_ms, ttl, owner = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4],
  ARGV[5]
local t = now()
local w = window(t, base, grace_ms)
local overdue = w.due and t > w.due + 300
local scan = ask('HSCAN', ARGV[6] == 'f' and fresh or pres, ARGV[7], 'COUNT', 300)
local flat = scan[2]
for i = 1, #flat, 2 do
  local ref, e = flat[i], parse(flat[i + 1])
  if not e then
    leave(w, t, ref, 0)
  elseif e.owner == owner and not ask('ZSCORE', grace, ref) then
    set_own(e.socket, without(ask('HGET', own, e.socket) or '', ref))
    leave(w, t, ref, grace_ms)
  end
end
save(w)
keep(ttl)
announce(w, t, channel)
local phase = ARGV[6]
if scan[1] == '0' then phase = phase == 'f' and 'p' or '' end
return {due_in(w, t), (w.announce or overdue) and 1 or 0, phase, scan[1]}
