-- Settles requests that are over: what they held is free again, what they took is counted.
--
-- KEYS[1]  prefix of all keys
-- ARGV[1]  who sends
-- ARGV[2]  number of this batch: one that comes again counts once
-- ARGV[3]  JSON: list of {id, subject, tpm, slots, tokens, cost, budgets: [{account, cost, ends}]}
--          `tokens` is by how many the request took more than was reserved, `cost` what it took in all

local REMEMBERED = 1000
local MINUTE = 60000
local DAY = 86400

local seen = KEYS[1] .. 'settled:' .. ARGV[1]
if redis.call('ZADD', seen, ARGV[2], ARGV[2]) == 0 then return 0 end
-- A sender sends again only what it has sent last.
redis.call('ZREMRANGEBYRANK', seen, 0, -1 - REMEMBERED)
redis.call('EXPIRE', seen, DAY)

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function whole(number)
  return string.format('%.0f', number)
end

local function correct_tokens(request)
  local rate = KEYS[1] .. 'rate:' .. request.subject
  local used = redis.call('HMGET', rate, 'tokens', 'at')
  local at = tonumber(used[2])
  if not at then
    if request.tokens < 0 then return end
    at = now
    redis.call('HSET', rate, 'requests', 0, 'at', whole(now))
  end
  -- As if it had been known from the start, but what has drained meanwhile cannot be given back.
  local drained = math.max(0, now - at) * request.tpm
  local tokens = math.max(math.max(tonumber(used[1]) or 0, drained) + request.tokens * MINUTE, drained)
  redis.call('HSET', rate, 'tokens', whole(tokens))
  redis.call('PEXPIRE', rate, 2 * MINUTE)
end

local function settle_budget(request, budget)
  local key = KEYS[1] .. 'budget:' .. budget.account
  if redis.call('ZREM', key .. ':held', request.id .. ':' .. whole(budget.cost)) == 1 then
    redis.call('HINCRBY', key, 'reserved', whole(0 - budget.cost))
  end
  redis.call('HINCRBY', key, 'spent', whole(request.cost))
  redis.call('EXPIREAT', key, budget.ends + DAY)
end

for _, request in ipairs(cjson.decode(ARGV[3])) do
  if request.slots then redis.call('ZREM', KEYS[1] .. 'slots:' .. request.subject, request.id) end
  if request.tpm and request.tokens ~= 0 then correct_tokens(request) end
  for _, budget in ipairs(request.budgets) do settle_budget(request, budget) end
end
return 1
