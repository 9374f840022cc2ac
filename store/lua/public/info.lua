#!lua flags=no-writes
-- Tells any program with a Redis client (Redis 7) what runs of Pollux, by EVAL or EVALSHA, or by
-- EVAL_RO, as it only reads:
--
--   EVAL <this file> 1 plx:rules
--   EVAL <this file> 1 plx:rules topic TOPIC
--   EVAL <this file> 1 plx:rules id ID
--
-- KEYS[1]  "<prefix>rules", with the prefix of the configuration's redis section
--
-- Returns JSON in the words of GET {api}/info: {"version","redis","sockets","channels",
-- "polls_waiting","about","workers":[...],"workers_silent","age_ms"}. A script can't ask workers:
-- what is told of them is what each leaves in Redis every 3 s. "age_ms" (of each worker, and the
-- largest of them; null without any) says how long ago that was. What is older than 10 s is not
-- told; "workers_silent" counts such workers for a minute: they have died, or stand still.
-- "about": of a topic {"topic","position" (null: nothing published, or long ago),"presence" (number
-- of metas),"workers_following"}; of an id {"id","longpoll" (sessions)}.
-- Only HTTP tells the WebSockets of an id, the channels of a topic, hooks, and what is configured.
-- Or an error "POLLUX code: what is wrong. What to do.". Not for Redis Cluster.

local FORMAT = 1 -- of the rules
local FRESH_MS, DROP_MS = 10000, 60000
local WORKERS_MAX = 1024

local function fail(code, message)
  return redis.error_reply('POLLUX ' .. code .. ': ' .. message)
end

local function number(n)
  return string.format('%.0f', n)
end

local quote = cjson.encode -- of text

-- Names and values in turn, the values as JSON; those that are nil are left out.
local function object(...)
  local members = {}
  for i = 1, select('#', ...), 2 do
    local name, value = select(i, ...)
    if value then members[#members + 1] = quote(name) .. ':' .. value end
  end
  return '{' .. table.concat(members, ',') .. '}'
end

-- RFC 3629 4: without its well-formed sequences nothing is left above 127.
local function is_utf8(s)
  local tail = '[\128-\191]'
  for _, form in ipairs({'[\194-\223]', '\224[\160-\191]', '[\225-\236\238\239]' .. tail,
    '\237[\128-\159]', '\240[\144-\191]' .. tail, '[\241-\243]' .. tail .. tail,
    '\244[\128-\143]' .. tail}) do
    s = string.gsub(s, form .. tail, ' ')
  end
  return not string.find(s, '[\128-\255]')
end

-- ---- Redis

-- What an ACL may forbid is left out.
local function redis_info()
  local info = redis.pcall('INFO', 'server', 'clients', 'memory')
  if type(info) ~= 'string' then return object('status', '"up"') end
  local function text(name)
    local value = string.match(info, '\n' .. name .. ':([^\r\n]*)')
    return value and quote(value)
  end
  local function count(name)
    return string.match(info, '\n' .. name .. ':(%d+)')
  end
  local policy = text('maxmemory_policy')
  return object('status', '"up"', 'version', text('redis_version'),
    'uptime_s', count('uptime_in_seconds'), 'clients', count('connected_clients'),
    'memory_bytes', count('used_memory'), 'memory_limit_bytes', count('maxmemory'),
    'maxmemory_policy', policy, 'warning', policy and policy ~= '"noeviction"' and
      '"set maxmemory-policy to noeviction: evicted keys are lost sessions and logs"' or nil)
end

-- ---- workers

-- Those that are fresh as {kind, name, what it said, when (ms)}, by kind and name; number of those
-- that were there until not long ago.
local function read_workers(prefix, now)
  local hash, at = prefix .. '{workers}', prefix .. '{workers}:at'
  local oldest = number(now - FRESH_MS)
  local listed = redis.call('ZRANGEBYSCORE', at, oldest, number(now + FRESH_MS), 'WITHSCORES',
    'LIMIT', 0, WORKERS_MAX)
  local names, workers = {}, {}
  for i = 1, #listed, 2 do names[#names + 1] = listed[i] end
  local said = #names > 0 and redis.call('HMGET', hash, unpack(names)) or {}
  for i, name in ipairs(names) do
    local ok, worker = pcall(cjson.decode, said[i] or '')
    if ok and type(worker) == 'table' and worker.worker == name then
      workers[#workers + 1] = {kind = tostring(worker.kind), name = name, said = worker,
        text = said[i], at = tonumber(listed[2 * i])}
    end
  end
  table.sort(workers, function(a, b)
    if a.kind ~= b.kind then return a.kind < b.kind end
    return a.name < b.name
  end)
  return workers, redis.call('ZCOUNT', at, number(now - DROP_MS), '(' .. oldest)
end

local function sum(workers, kind, name)
  local n = 0
  for _, w in ipairs(workers) do
    if w.kind == kind and type(w.said[name]) == 'number' then n = n + w.said[name] end
  end
  return number(n)
end

-- What each said as it is, with its age; and the largest age, or nil.
local function write_workers(workers, now)
  local texts, largest = {}, nil
  for i, w in ipairs(workers) do
    local age = math.max(0, now - w.at)
    largest = math.max(largest or 0, age)
    texts[i] = string.sub(w.text, 1, -2) .. ',"age_ms":' .. number(age) .. '}'
  end
  return '[' .. table.concat(texts, ',') .. ']', largest
end

-- ---- about

local function about_topic(prefix, topic)
  local base = prefix .. '{t:' .. topic .. '}'
  local meta = redis.call('HMGET', base .. ':meta', 'epoch', 'off')
  local following = redis.pcall('PUBSUB', 'SHARDNUMSUB', base)
  return object('topic', quote(topic),
    'position', meta[1] and meta[2] and quote(meta[1] .. ':' .. meta[2]) or 'null',
    'presence', number(redis.call('HLEN', base .. ':pres')),
    'workers_following', not following.err and number(following[2]) or nil)
end

local function about_id(prefix, id)
  return object('id', quote(id), 'longpoll', number(redis.call('ZCARD', prefix .. '{i:' .. id .. '}')))
end

-- ---- the call

local USAGE = ' Arguments are none, or topic TOPIC, or id ID.'

local function check_arguments(rules)
  local what, name = ARGV[1], ARGV[2]
  if #ARGV == 0 then return nil end
  if (what ~= 'topic' and what ~= 'id') or #ARGV > 2 then
    return fail('invalid_query', 'one can ask about one topic or one id.' .. USAGE)
  elseif not name or #name == 0 or #name > rules.max_name or not is_utf8(name) then
    return fail('invalid_' .. what, 'the ' .. what .. ' must be UTF-8 text of 1 to ' ..
      number(rules.max_name) .. ' bytes.' .. USAGE)
  end
end

local function read_rules(key)
  local text = key and redis.pcall('GET', key)
  local ok, rules = pcall(cjson.decode, type(text) == 'string' and text or '')
  return ok and type(rules) == 'table' and rules or nil
end

local function main(rules_key)
  local prefix = string.match(rules_key or '', '^(.*)rules$')
  local rules = prefix and read_rules(rules_key)
  if not rules then
    return fail('no_rules', 'there are none at KEYS[1]. It is "<prefix>rules", written by running workers.')
  elseif rules.format ~= FORMAT then
    return fail('other_version', 'this script is not of the version of the workers. Take theirs.')
  end
  local err = check_arguments(rules)
  if err then return err end
  local t = redis.call('TIME')
  local now = t[1] * 1000 + math.floor(t[2] / 1000)
  local workers, silent = read_workers(prefix, now)
  local texts, age = write_workers(workers, now)
  local about = ARGV[1] == 'topic' and about_topic(prefix, ARGV[2])
    or ARGV[1] == 'id' and about_id(prefix, ARGV[2]) or nil
  return object('version', type(rules.version) == 'string' and quote(rules.version) or nil,
    'redis', redis_info(),
    'sockets', object('websocket', sum(workers, 'websocket', 'sockets'),
      'longpoll', number(redis.call('ZCARD', prefix .. 'sweep'))),
    'channels', object('websocket', sum(workers, 'websocket', 'channels'),
      'longpoll', sum(workers, 'longpoll', 'channels')),
    'polls_waiting', sum(workers, 'longpoll', 'polls_waiting'),
    'about', about, 'workers', texts, 'workers_silent', number(silent),
    'age_ms', age and number(age) or 'null')
end

return main(KEYS[1])
