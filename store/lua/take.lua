-- ARGV worker, entry (0: any), lease (ms)
-- Returns like post.lua. An outcome that is forgotten counts as 200.

if not is_open() then return {'gone'} end
local entry = tonumber(ARGV[2])
if entry > 0 then
  local done, outcome = get('ind', 'o' .. text(entry % OUTCOMES_MAX))
  if entry <= num(done) then
    local n, status = string.match(outcome or '', '^(%d+) (%d+) ')
    return {'done', ARGV[2], n == ARGV[2] and status or '200'}
  end
  if entry <= num(get('inn')) then add_waiter(ARGV[2], ARGV[1]) end
end
local mine = take(now(), ARGV[1], tonumber(ARGV[3]))
return {mine and 'work' or 'wait', ARGV[2], '0', mine or false}
