-- How many jobs of a queue wait, run or are due, and since when the oldest waits; only for whoever holds the lease.
-- KEYS  lease, wait, paused, prioritized, active, delayed
-- ARGV  who asks, milliseconds of the lease, now in milliseconds, prefix of the queue's keys
-- Gives false for everybody else, or {depth, milliseconds that the oldest has waited}.
local PRIORITY = 0x100000000
local MOST_PRIORITIES = 64

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return false
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])

local now = tonumber(ARGV[3])
local due = string.format('%.0f', (now + 1) * 0x1000 - 1)
local depth = redis.call('LLEN', KEYS[2]) + redis.call('LLEN', KEYS[3]) + redis.call('ZCARD', KEYS[4])
  + redis.call('LLEN', KEYS[5]) + redis.call('ZCOUNT', KEYS[6], '-inf', due)

local oldest = now
local function look(id)
  local known = id and redis.call('HMGET', ARGV[4] .. id, 'timestamp', 'processedOn', 'opts')
  if known and known[1] then
    -- A job that was put off on purpose, or tried before, has not waited since it was made.
    local delay = known[3] and tonumber(cjson.decode(known[3])['delay']) or 0
    oldest = math.min(oldest, math.max(tonumber(known[1]) + delay, tonumber(known[2]) or 0))
  end
end
look(redis.call('LINDEX', KEYS[2], -1))
look(redis.call('LINDEX', KEYS[3], -1))
look(redis.call('ZRANGE', KEYS[6], '-inf', due, 'BYSCORE', 'LIMIT', 0, 1)[1])
-- The first of each priority; the most important ones have the lowest scores.
local from = '-inf'
for _ = 1, MOST_PRIORITIES do
  local first = redis.call('ZRANGE', KEYS[4], from, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  if #first == 0 then
    break
  end
  look(first[1])
  from = string.format('%.0f', (math.floor(tonumber(first[2]) / PRIORITY) + 1) * PRIORITY)
end
return {depth, now - oldest}
