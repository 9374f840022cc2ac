-- Where a topic stands, and the last message of each event.
-- KEYS meta, log, last messages   ARGV new epoch, log ttl (s), seconds that meta outlives the log
-- Returns epoch, offset, {event, "offset kind payload", ...}.

local epoch, off = load(KEYS[1])
if not epoch then epoch, off = start(KEYS[1], KEYS[2], ARGV[1]) end
keep_meta(KEYS[1], KEYS[2], ARGV[2], ARGV[3])
local all = redis.pcall('HGETALL', KEYS[3])
return {epoch, text(off), all.err and {} or all}
