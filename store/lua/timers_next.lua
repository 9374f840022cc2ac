-- A session that was claimed was seen to. Changes nothing when it has been put on the list since.
-- KEYS list   ARGV session, the claim's deadline, ms until it is due again ("-1": not at all)

if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '-1') ~= tonumber(ARGV[2]) then return 'OK' end
if ARGV[3] == '-1' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  local t = redis.call('TIME')
  local at = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[3])
  redis.call('ZADD', KEYS[1], string.format('%.0f', at), ARGV[1])
end
return 'OK'
