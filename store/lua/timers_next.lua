-- A session that was claimed was seen to. Changes nothing when it has been put on the list since.
-- KEYS list   ARGV session, the claim's deadline, ms until it is due again ("-1": not at all)

if tonumber(redis.call('ZSCORE', list, ARGV[1]) or '-1') ~= tonumber(ARGV[2]) then return 'OK' end
if ARGV[3] == '-1' then
  redis.call('ZREM', list, ARGV[1])
else
  redis.call('ZADD', list, text(now_ms() + tonumber(ARGV[3])), ARGV[1])
end
return 'OK'
