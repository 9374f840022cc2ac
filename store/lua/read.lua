-- A piece of the log together with where the topic stands at the same moment.
-- KEYS meta, log   ARGV first offset, max entries, max bytes (one entry is given in any case)
-- Returns epoch ('' when there is none), offset, entries as XRANGE gives them.

local epoch, off = load(KEYS[1])
if not epoch then return {'', '0', {}} end
local entries = redis.pcall('XRANGE', KEYS[2], ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])
if entries.err then return {epoch, text(off), {}} end
local out, bytes, max = {}, 0, tonumber(ARGV[3])
for i, e in ipairs(entries) do
  for _, s in ipairs(e[2]) do bytes = bytes + #s end
  if i > 1 and bytes > max then break end
  out[i] = e
end
return {epoch, text(off), out}
