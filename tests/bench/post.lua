-- Posts corpus events with fresh random messageIds. Prepended by the bench: authorization, size, people, templates.

local random, format, concat = math.random, string.format, table.concat
local hex = {}
for value = 0, 65535 do hex[value] = format("%04x", value) end
local headers = { ["Content-Type"] = "application/json", ["Authorization"] = authorization }

-- wrk's own state starts alike in every run: two runs against one collector must not repeat their ids.
math.randomseed(os.time() * 1000 + tonumber(tostring({}):match("0x(%x+)"), 16) % 1000)

local function message_id()
  return concat({ hex[random(0, 65535)], hex[random(0, 65535)], "-", hex[random(0, 65535)], "-", hex[random(0, 65535)],
    "-", hex[random(0, 65535)], "-", hex[random(0, 65535)], hex[random(0, 65535)], hex[random(0, 65535)] })
end

local function add(parts, at)
  local template = templates[random(1, #templates)]
  parts[at + 1], parts[at + 2], parts[at + 3] = template[1], message_id(), template[2]
  parts[at + 4], parts[at + 5] = people[random(1, #people)], template[3]
  return at + 5
end

function request()
  local parts = {}
  if size == 0 then
    add(parts, 0)
    return wrk.format("POST", "/v1/track", headers, concat(parts))
  end
  parts[1] = '{"batch":['
  local at = 1
  for index = 1, size do
    at = add(parts, at)
    at = at + 1
    parts[at] = index < size and "," or '],"sentAt":"2026-11-21T12:00:00.000Z"}'
  end
  return wrk.format("POST", "/v1/batch", headers, concat(parts))
end
