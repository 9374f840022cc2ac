-- Where a topic stands, and whether a client that has everything up to `since` can go on from there.
-- KEYS meta, log   ARGV new epoch, log ttl (s), seconds that meta outlives the log,
--                  since: epoch, offset; history: size, ttl (s), log ttl of its publications (s)
-- Returns epoch, offset, 1 when it can.

local epoch, off = load(KEYS[1])
if not epoch then epoch, off = start(KEYS[1], KEYS[2], ARGV[1]) end
keep_meta(KEYS[1], KEYS[2], ARGV[2], ARGV[3])
local at = epoch == ARGV[4] and number(ARGV[5])
local whole = at and reaches(KEYS[2], off, at, ARGV[6], ARGV[8], ARGV[7])
return {epoch, text(off), whole and 1 or 0}
