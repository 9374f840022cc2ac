-- What is published, and the position at which it is; also keeps the keys alive.
-- KEYS  the seven of presence.lua, meta, log
-- ARGV  1 when the entries are wanted, ttl (s; 0: leave it), grace (ms), bytes above which they are
--       not given, new epoch, log ttl (s), seconds that meta outlives the log
-- Returns epoch, offset, 1 when the topic is count-only, number of entries, when the next flush is
-- due (ms from now, -1: none is), refs and entries in turn.

local t = now()
local w = window(t, 0, tonumber(ARGV[3]))
local epoch, off = load(KEYS[8])
if not epoch then epoch, off = start(KEYS[8], KEYS[9], ARGV[5]) end
keep_meta(KEYS[8], KEYS[9], ARGV[6], ARGV[7])
local n = ask('HLEN', pres)
local only = w.mode == 'c' or w.bytes > tonumber(ARGV[4])
if ARGV[2] ~= '0' then keep(ARGV[2]) end
local entries = {}
if ARGV[1] == '1' and not only then entries = redis.call('HGETALL', pres) end
return {epoch, text(off), only and 1 or 0, n, due_in(w, t), entries}
