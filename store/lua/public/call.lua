-- The rest of the installed script publish.lua, behind head.lua, topic.lua and publish.lua: it ends the
-- function publish() around those two, judges the arguments, and calls it.
end

local FORMAT = 1 -- of the rules, and of all that publish() writes

local function fail(code, message)
  return redis.error_reply('POLLUX ' .. code .. ': ' .. message)
end

-- ---- text

-- RFC 3629 4.
local function is_utf8(s)
  local at = 1
  while true do
    at = string.find(s, '[\128-\255]', at)
    if not at then return true end
    local a, b, c, d = string.byte(s, at, at + 3)
    local function tail(x) return x and x >= 128 and x <= 191 end
    if a >= 194 and a <= 223 and tail(b) then
      at = at + 2
    elseif a >= 224 and a <= 239 and tail(b) and tail(c) and not (a == 224 and b < 160)
      and not (a == 237 and b > 159) then
      at = at + 3
    elseif a >= 240 and a <= 244 and tail(b) and tail(c) and tail(d) and not (a == 240 and b < 144)
      and not (a == 244 and b > 143) then
      at = at + 4
    else
      return false
    end
  end
end

-- ---- JSON: what base/json_scan.h takes for it (cjson takes more, and clients would choke on that)

local DEPTH = 100

-- The place behind a string's closing quote, or nil. at: behind the opening one.
local function skip_string(s, at)
  while true do
    at = string.find(s, '[%z\1-\31"\\]', at)
    local c = at and string.sub(s, at, at)
    if c == '"' then return at + 1 end
    if c ~= '\\' then return nil end
    if string.find(s, '^["\\/bfnrt]', at + 1) then
      at = at + 2
    else
      local hex = string.match(s, '^u(%x%x%x%x)', at + 1)
      local unit = hex and tonumber(hex, 16)
      if not unit or (unit >= 56320 and unit <= 57343) then return nil end
      at = at + 6
      if unit >= 55296 and unit <= 56319 then -- a pair, or nothing
        if not string.find(s, '^\\u[dD][c-fC-F]%x%x', at) then return nil end
        at = at + 6
      end
    end
  end
end

local function skip_number(s, at)
  local first = at
  at = string.match(s, '^%-?0()', at) or string.match(s, '^%-?[1-9]%d*()', at)
  if not at then return nil end
  if string.find(s, '^%.', at) then at = string.match(s, '^%.%d+()', at) end
  if at and string.find(s, '^[eE]', at) then at = string.match(s, '^[eE][+-]?%d+()', at) end
  local n = at and tonumber(string.sub(s, first, at - 1))
  return n and n < math.huge and n > -math.huge and at or nil
end

-- The place behind a value that is no array and no object, or nil.
local function skip_scalar(s, at)
  local c = string.sub(s, at, at)
  if c == '"' then return skip_string(s, at + 1) end
  if c == '-' or string.find(c, '^%d') then return skip_number(s, at) end
  return string.match(s, '^true()', at) or string.match(s, '^false()', at)
    or string.match(s, '^null()', at)
end

local function skip_space(s, at)
  return string.match(s, '^[ \t\r\n]*()', at)
end

-- The place behind `"name" :`, or nil.
local function skip_name(s, at)
  if string.sub(s, at, at) ~= '"' then return nil end
  at = skip_string(s, at + 1)
  at = at and skip_space(s, at)
  return at and string.sub(s, at, at) == ':' and skip_space(s, at + 1) or nil
end

local CLOSING = {['['] = ']', ['{'] = '}'}

local function is_json(s)
  local open, at = {}, skip_space(s, 1) -- open: the brackets to be closed, the innermost last
  while true do
    local closing = CLOSING[string.sub(s, at, at)] -- a value begins here
    local whole = true
    if closing then
      if #open == DEPTH then return false end
      at = skip_space(s, at + 1)
      if string.sub(s, at, at) == closing then
        at = at + 1
      else
        open[#open + 1] = closing
        if closing == '}' then at = skip_name(s, at) end
        whole = false
      end
    else
      at = skip_scalar(s, at)
    end
    if not at then return false end
    while whole do -- a value has ended here
      at = skip_space(s, at)
      if #open == 0 then return at == #s + 1 end
      local c = string.sub(s, at, at)
      if c == ',' then
        at = skip_space(s, at + 1)
        if open[#open] == '}' then at = skip_name(s, at) end
        if not at then return false end
        whole = false
      elseif c == open[#open] then
        open[#open] = nil
        at = at + 1
      else
        return false
      end
    end
  end
end

-- ---- rules: {format, version, messages, bytes, ttl_s, meta_extra_s, latest_events, latest_bytes,
-- max_payload, max_name, sections: [[[pattern, history size, history ttl, latest ttl], ...], ...]}

local function read_rules(key)
  local text = redis.pcall('GET', key)
  if type(text) ~= 'string' then return nil end
  local ok, rules = pcall(cjson.decode, text)
  return ok and type(rules) == 'table' and rules or nil
end

-- The channel of a section that routes the topic: exact before prefix, the longest prefix wins.
local function route(section, topic)
  local best, length
  for _, channel in ipairs(section) do
    local pattern = channel[1]
    if pattern == topic then return channel end
    if string.sub(pattern, -1) == '*' and #topic >= #pattern - 1
      and string.sub(topic, 1, #pattern - 1) == string.sub(pattern, 1, -2)
      and (not best or #pattern > length) then
      best, length = channel, #pattern
    end
  end
  return best
end

-- As far back as any section wants that knows the topic; nil: none does.
local function retention(rules, topic)
  local found
  for _, section in ipairs(rules.sections) do
    local channel = route(section, topic)
    if channel then
      found = found or {0, 0, 0}
      for i = 1, 3 do found[i] = math.max(found[i], channel[i + 1]) end
    end
  end
  return found
end

-- ---- the call

local function check_name(what, value, max)
  if type(value) ~= 'string' or #value == 0 or #value > max or not is_utf8(value) then
    return fail('invalid_' .. what, 'the ' .. what .. ' must be UTF-8 text of 1 to ' ..
      string.format('%.0f', max) .. ' bytes. Arguments are TOPIC EVENT PAYLOAD [KEY [binary]].')
  end
end

local function check_payload(payload, kind, rules, history)
  if type(payload) ~= 'string' then
    return fail('invalid_payload', 'it is missing. Arguments are TOPIC EVENT PAYLOAD [KEY [binary]].')
  elseif #payload > rules.max_payload then
    return fail('payload_too_big', 'the payload has ' .. #payload .. ' bytes. The bound is max_body_bytes.')
  elseif kind == 'b' and history > 0 then
    return fail('binary_not_kept', 'this topic has history, which keeps JSON only. Send it as JSON.')
  elseif kind == 'j' and not (is_utf8(payload) and is_json(payload)) then
    return fail('invalid_json', 'the payload is no valid JSON (RFC 8259). Let a JSON library write it.')
  end
end

-- The value without white space around it, as the other ways to publish cut it out.
local function trim(json)
  local first, after = string.find(json, '[^ \t\r\n]'), string.find(string.reverse(json), '[^ \t\r\n]')
  return string.sub(json, first, #json - after + 1)
end

local function text(n)
  return string.format('%.0f', n)
end

local function call(prefix, rules, keep, topic, event, payload, key, kind)
  local base = prefix .. '{t:' .. topic .. '}'
  local keys = {base .. ':meta', base .. ':log', base .. ':from:0', base .. ':from:1', base .. ':latest'}
  if key ~= '' then keys[6] = base .. ':key:' .. redis.sha1hex(key) end
  local t = redis.call('TIME')
  local epoch = 's' .. string.sub(redis.sha1hex(t[1] .. '.' .. t[2] .. '.' .. topic), 1, 15)
  local ttl = math.max(rules.ttl_s, keep[2])
  local r = publish(keys, {epoch, kind, '', event, kind == 'j' and trim(payload) or payload, base,
    text(rules.messages), text(rules.bytes), text(ttl), text(ttl + rules.meta_extra_s), '', '0', '0',
    text(keep[1]), text(keep[3]), text(rules.latest_events), text(rules.latest_bytes)})
  return r[1] .. ':' .. r[2]
end

local function main(rules_key, topic, event, payload, key, kind)
  local prefix = string.match(rules_key or '', '^(.*)rules$')
  local rules = prefix and read_rules(rules_key)
  if not rules then
    return fail('no_rules', 'there are none at KEYS[1]. It is "<prefix>rules", written by running workers.')
  elseif rules.format ~= FORMAT then
    return fail('other_version', 'this script is not of the version of the workers. Take theirs.')
  end
  key, kind = key or '', kind or ''
  local err = check_name('topic', topic, rules.max_name) or check_name('event', event, rules.max_name)
  if err then return err end
  if #key > 256 then return fail('invalid_key', 'the key has over 256 bytes. Shorten it.') end
  if kind ~= '' and kind ~= 'binary' then
    return fail('invalid_kind', 'the last argument can only be "binary". Leave it out for JSON.')
  end
  kind = kind == 'binary' and 'b' or 'j'
  local keep = retention(rules, topic)
  if not keep then
    return fail('unknown_topic', 'no socket has a channel for this topic. Compare it with the configuration.')
  end
  return check_payload(payload, kind, rules, keep[1])
    or call(prefix, rules, keep, topic, event, payload, key, kind)
end

return main(KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
