-- Renews what requests that go on hold: a slot, shares of budgets. What is free again already stays free.
--
-- KEYS[1]  prefix of all keys
-- ARGV[1]  JSON: list of {id, subject, slots, hold, budgets: [{account, cost}]}

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function whole(number)
  return string.format('%.0f', number)
end

for _, request in ipairs(cjson.decode(ARGV[1])) do
  local until_then = whole(now + request.hold)
  if request.slots then
    local slots = KEYS[1] .. 'slots:' .. request.subject
    redis.call('ZADD', slots, 'XX', until_then, request.id)
    local left = redis.call('PTTL', slots)
    if left >= 0 and left < request.hold then redis.call('PEXPIRE', slots, request.hold) end
  end
  for _, budget in ipairs(request.budgets) do
    redis.call('ZADD', KEYS[1] .. 'budget:' .. budget.account .. ':held', 'XX', until_then,
      request.id .. ':' .. whole(budget.cost))
  end
end
return 1
