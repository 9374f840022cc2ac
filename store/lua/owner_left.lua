-- Some of what a dead owner has left: nothing is removed here.
-- KEYS topics (set), memberships (hash)   ARGV number of topics, of memberships
-- Returns topics, names and records of memberships in turn.

local function ask(verb, key, ...)
  local r = redis.pcall(verb, key, ...)
  if type(r) ~= 'table' or not r.err then return r end
  if string.find(r.err, 'WRONGTYPE', 1, true) then redis.call('DEL', key) end
  return redis.call(verb, key, ...)
end

return {ask('SRANDMEMBER', KEYS[1], ARGV[1]), ask('HRANDFIELD', KEYS[2], ARGV[2], 'WITHVALUES')}
