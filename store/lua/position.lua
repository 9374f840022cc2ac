-- Where a topic stands; gives it an epoch when it has none, and keeps meta alive.
-- KEYS meta, log   ARGV new epoch, log ttl (s), seconds that meta outlives the log
-- Returns epoch, offset.

local epoch, off = load(KEYS[1])
if not epoch then epoch, off = start(KEYS[1], KEYS[2], ARGV[1]) end
keep_meta(KEYS[1], KEYS[2], ARGV[2], ARGV[3])
return {epoch, text(off)}
