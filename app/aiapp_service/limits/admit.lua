-- Admits requests, each as a whole or not at all. All replicas count here, by Redis' own clock.
--
-- KEYS[1]  prefix of all keys
-- ARGV[1]  JSON: list of {id, subject, rpm, tpm, slots, tokens, hold, budgets: [{account, limit, cost, blocks, ends}]}
-- returns  JSON: list of {refused, wait, requests, tokens, spent, budget, over, now}
--
-- Rates are buckets that leak: what is used drains evenly, a whole allowance in a minute. There is no edge at which
-- a new minute begins, so no burst is let through twice. They are counted in sixty-thousandths, which is what drains
-- of one a minute in a millisecond: whole numbers, and nothing is rounded. What is held (a slot, a share of a budget)
-- is noted with the time at which it is free again by itself: that is all that is left of a replica that was killed.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local MINUTE = 60000
local DAY = 86400
local SLOT_WAIT = 1000

local function whole(number)
  return string.format('%.0f', number)
end

local function drained(used, at, per_minute)
  if not used or not per_minute then return 0 end
  return math.max(0, tonumber(used) - math.max(0, now - (tonumber(at) or now)) * per_minute)
end

-- The account of a budget, without what has been held for too long.
local function account_of(budget)
  local key = KEYS[1] .. 'budget:' .. budget.account
  local held = key .. ':held'
  for _, share in ipairs(redis.call('ZRANGEBYSCORE', held, '-inf', now)) do
    redis.call('ZREM', held, share)
    redis.call('HINCRBY', key, 'reserved', whole(0 - string.match(share, '%d+$')))
  end
  local sums = redis.call('HMGET', key, 'spent', 'reserved')
  return {key = key, held = held, total = (tonumber(sums[1]) or 0) + (tonumber(sums[2]) or 0)}
end

local function look_at_rates(demand, verdict)
  local rate = KEYS[1] .. 'rate:' .. demand.subject
  if demand.rpm or demand.tpm then
    local used = redis.call('HMGET', rate, 'requests', 'tokens', 'at')
    verdict.requests = drained(used[1], used[3], demand.rpm)
    verdict.tokens = drained(used[2], used[3], demand.tpm)
  end
  local function refuse(limit, wait)
    if wait > verdict.wait then verdict.refused, verdict.wait = limit, wait end
  end
  if demand.slots then
    local slots = KEYS[1] .. 'slots:' .. demand.subject
    redis.call('ZREMRANGEBYSCORE', slots, '-inf', now)
    if redis.call('ZCARD', slots) >= demand.slots then refuse('concurrent', SLOT_WAIT) end
  end
  local function look(limit, per_minute, used, wanted)
    if not per_minute then return end
    local excess = used + wanted * MINUTE - per_minute * MINUTE
    if excess > 0 then refuse(limit, math.ceil(excess / per_minute)) end
  end
  look('requests', demand.rpm, verdict.requests, 1)
  look('tokens', demand.tpm, verdict.tokens, demand.tokens)
end

local function look_at_budgets(demand, verdict)
  local accounts = {}
  for number, budget in ipairs(demand.budgets) do
    local account = account_of(budget)
    accounts[number] = account
    verdict.spent[number] = account.total
    if account.total >= budget.limit or account.total + budget.cost > budget.limit then
      if not budget.blocks then
        table.insert(verdict.over, number - 1)
      elseif verdict.refused ~= 'budget' then
        verdict.refused, verdict.wait, verdict.budget = 'budget', 0, number - 1
      end
    end
  end
  return accounts
end

local function take(demand, verdict, accounts)
  if demand.rpm then verdict.requests = verdict.requests + MINUTE end
  if demand.tpm then verdict.tokens = verdict.tokens + demand.tokens * MINUTE end
  if demand.rpm or demand.tpm then
    local rate = KEYS[1] .. 'rate:' .. demand.subject
    redis.call('HSET', rate, 'requests', whole(verdict.requests), 'tokens', whole(verdict.tokens), 'at', whole(now))
    redis.call('PEXPIRE', rate, 2 * MINUTE)
  end
  if demand.slots then
    local slots = KEYS[1] .. 'slots:' .. demand.subject
    redis.call('ZADD', slots, whole(now + demand.hold), demand.id)
    if redis.call('PTTL', slots) < demand.hold then redis.call('PEXPIRE', slots, demand.hold) end
  end
  for number, budget in ipairs(demand.budgets) do
    local account = accounts[number]
    -- A call that was sent twice by the client's library holds one share.
    if redis.call('ZADD', account.held, whole(now + demand.hold), demand.id .. ':' .. whole(budget.cost)) == 1 then
      redis.call('HINCRBY', account.key, 'reserved', whole(budget.cost))
      verdict.spent[number] = account.total + budget.cost
    end
    redis.call('EXPIREAT', account.key, budget.ends + DAY)
    redis.call('EXPIREAT', account.held, budget.ends + DAY)
  end
end

local verdicts = {}
for number, demand in ipairs(cjson.decode(ARGV[1])) do
  local verdict = {wait = 0, requests = 0, tokens = 0, spent = {}, budget = 0, over = {}, now = now}
  look_at_rates(demand, verdict)
  local accounts = look_at_budgets(demand, verdict)
  if not verdict.refused then take(demand, verdict, accounts) end
  verdicts[number] = verdict
end
return cjson.encode(verdicts)
