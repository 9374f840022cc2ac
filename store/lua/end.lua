-- ARGV reason
-- Returns ok, the poll's worker and generation.

if not is_open() then return {'gone'} end
local pw, pg = get('pw', 'pg')
finish(ARGV[1], now())
return {'ok', pw or '', pg or '0'}
