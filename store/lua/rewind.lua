-- The log was seen further than it now reaches (failover to a replica that lagged behind): the same
-- offsets would be given twice. Compare-and-set: whoever is first starts a new epoch.
-- KEYS meta, log   ARGV epoch, offset that was seen in it, new epoch, log ttl, meta's extra
-- Returns epoch, offset.

local epoch, off = load(KEYS[1])
if not epoch then
  epoch, off = start(KEYS[1], KEYS[2], ARGV[3])
elseif epoch == ARGV[1] and off < tonumber(ARGV[2]) then
  epoch = ARGV[3]
  redis.call('HSET', KEYS[1], 'epoch', epoch)
end
keep_meta(KEYS[1], KEYS[2], ARGV[4], ARGV[5])
return {epoch, text(off)}
