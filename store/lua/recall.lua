-- What is needed to judge what a session is to see, without the lease.
-- ARGV slot numbers
-- Returns ok, params, claims, id, the state of each slot (nil: there is none such any more).

if not is_open() then return {'gone'} end
local params, claims, id = get('params', 'claims', 'id')
return {'ok', params, claims, id, #ARGV > 0 and redis.call('HMGET', state, unpack(ARGV)) or {}}
