-- Disconnects the sockets of an id, or closes their channels of one topic, from any program with a
-- Redis client (Redis 7), by EVAL or EVALSHA:
--
--   EVAL <this file> 1 plx:rules disconnect ID
--   EVAL <this file> 1 plx:rules unsubscribe ID TOPIC
--
-- KEYS[1]  "<prefix>rules", with the prefix of the configuration's redis section
--
-- Returns the name of a list: one of the workers carries it out, and puts the number of sockets (or
-- channels) there, usually within half a second. BLPOP it, or leave it: it expires. No number
-- within a second or two means that this worker has died over it: call again, that does no harm.
-- Or an error "POLLUX code: what is wrong. What to do.", and then nothing was done. Not for Redis
-- Cluster.

local FORMAT = 1 -- of the rules, and of the message below

local function fail(code, message)
  return redis.error_reply('POLLUX ' .. code .. ': ' .. message)
end

local USAGE = ' Arguments are disconnect ID, or unsubscribe ID TOPIC.'

local function check_name(what, value, max)
  if type(value) ~= 'string' or #value == 0 or #value > max then
    return fail('invalid_' .. what, 'the ' .. what .. ' must be text of 1 to ' ..
      string.format('%.0f', max) .. ' bytes.' .. USAGE)
  end
end

local function main(rules_key, verb, id, topic)
  local prefix = string.match(rules_key or '', '^(.*)rules$')
  local text = prefix and redis.pcall('GET', rules_key)
  local ok, rules = pcall(cjson.decode, type(text) == 'string' and text or '')
  if not ok or type(rules) ~= 'table' then
    return fail('no_rules', 'there are none at KEYS[1]. It is "<prefix>rules", written by running workers.')
  elseif rules.format ~= FORMAT then
    return fail('other_version', 'this script is not of the version of the workers. Take theirs.')
  elseif verb ~= 'disconnect' and verb ~= 'unsubscribe' then
    return fail('invalid_verb', 'there is no such call.' .. USAGE)
  end
  local err = check_name('id', id, rules.max_name)
  if not err and verb == 'unsubscribe' then err = check_name('topic', topic, rules.max_name) end
  if not err and verb == 'disconnect' and topic then
    err = fail('invalid_topic', 'a disconnect has none.' .. USAGE)
  end
  if err then return err end
  topic = topic or ''
  local t = redis.call('TIME')
  local ticket = redis.sha1hex(table.concat({t[1], t[2], verb, id, topic}, ' '))
  local heard = redis.call('SPUBLISH', prefix .. '{control}',
    '1 errand - 0 ' .. ticket .. ' ' .. verb .. ' ' .. #id .. '\n' .. id .. topic)
  if heard == 0 then return fail('no_workers', 'none listens. Start pollux-fcgi or pollux-ws.') end
  return prefix .. '{call:' .. ticket .. '}'
end

return main(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
