-- Messages of a topic's history, oldest first, without presence diffs.
-- KEYS meta, log   ARGV new epoch, log ttl (s), seconds that meta outlives the log,
--                  since: epoch ('': none), offset; history: size, ttl (s), log ttl (s);
--                  max messages, max bytes (one message is given in any case)
-- With `since` the first ones after it, else the last ones.
-- Returns epoch, offset up to which the answer is complete, 1 (0: `since` is out of reach), entries.

local log = KEYS[2]
local epoch, off = load(KEYS[1])
if not epoch then epoch, off = start(KEYS[1], log, ARGV[1]) end
keep_meta(KEYS[1], log, ARGV[2], ARGV[3])
local limit, max = tonumber(ARGV[9]), tonumber(ARGV[10])
local out, bytes = {}, 0

-- False when it does not fit any more.
local function add(e)
  for _, s in ipairs(e[2]) do bytes = bytes + #s end
  if #out >= limit or (#out > 0 and bytes > max) then return false end
  out[#out + 1] = e
  return true
end

-- Walks the log in the direction of `command` from an offset on; returns the first entry for which
-- there was no room, or nil.
local function walk(command, from, to, step)
  while from >= 1 do
    local chunk = redis.pcall(command, log, text(from) .. '-0', to, 'COUNT', 200)
    if chunk.err or #chunk == 0 then return nil end
    for _, e in ipairs(chunk) do
      if e[2][KIND] ~= 'p' and not add(e) then return e end
    end
    from = tonumber(string.match(chunk[#chunk][1], '^%d+')) + step
  end
end

if ARGV[4] ~= '' then
  local at = epoch == ARGV[4] and number(ARGV[5])
  if not at or not reaches(log, off, at, ARGV[6], ARGV[8], ARGV[7]) then
    return {epoch, text(off), 0, {}}
  end
  if walk('XRANGE', at + 1, '+', 1) then off = tonumber(string.match(out[#out][1], '^%d+')) end
  return {epoch, text(off), 1, out}
end

limit = math.min(limit, tonumber(ARGV[6]))
if not outlived(log, ARGV[8], ARGV[7]) then walk('XREVRANGE', off, '-', -1) end
local forward = {}
for i = #out, 1, -1 do forward[#forward + 1] = out[i] end
return {epoch, text(off), 1, forward}
