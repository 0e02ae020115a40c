"""The job library as it is set up here. What differs from its defaults, and why, is in this module.

Keys of an app begin with `{aiapp:NAME}:QUEUE:`, so that apps may share a Redis; the braces keep them on one node of
a Redis Cluster. Another program that uses BullMQ gives `{aiapp:NAME}` as its `prefix`.
"""

from typing import Any

import bullmq
from bullmq.redis_connection import RedisConnection, loadScript
from redis.asyncio import Redis

from aiapp_service.jobs.scripts import LineScript, OneLine

ATTEMPTS = 5
BACKOFF = "full-jitter"
KEEP_RESULT_SECONDS = 3600.0
MOST_KEEP_RESULT_SECONDS = 30 * 24 * 3600.0
MOST_KEPT = 1_000
KEEP_FAILED_SECONDS = 14 * 24 * 3600
KEEP_FAILED = {"age": KEEP_FAILED_SECONDS, "count": 10_000}
# The library looks at the ages of all results of a queue with the limit of the one that ends. Each job's own limit
# is kept by _EXPIRING; this is what is left for the queue as a whole.
KEEP_DONE = {"age": int(MOST_KEEP_RESULT_SECONDS), "count": MOST_KEPT}

# The library takes a job whose id is known for the same job, for as long as it is kept, also when it has ended long
# ago. Here one that has ended makes room: `finishedOn` is there only then.
_REPLACING = """
do
  local ours = cmsgpack.unpack(ARGV[1])
  local prefix, id = ours[1], ours[2]
  local key = prefix .. id
  if redis.call('HEXISTS', key, 'finishedOn') == 1 then
    redis.call('ZREM', prefix .. 'completed', id)
    redis.call('ZREM', prefix .. 'failed', id)
    redis.call('DEL', key, key .. ':logs')
  elseif redis.call('EXISTS', key) == 0 then
    -- Its time as a result has run out.
    redis.call('ZREM', prefix .. 'completed', id)
  end
end
"""

# A job that is completed is forgotten after its own time.
_EXPIRING = """
local function finish()
%s
end
local ended = finish()
if ARGV[5] == 'completed' and not (type(ended) == 'number' and ended < 0) then
  local text = redis.call('HGET', KEYS[12], 'opts')
  local keep = text and cjson.decode(text)['removeOnComplete']
  if type(keep) == 'table' and type(keep['age']) == 'number' then
    redis.call('PEXPIRE', KEYS[12], math.floor(keep['age'] * 1000))
  end
end
return ended
"""
_ADDING = {
    "addStandardJob": "addStandardJob-9.lua",
    "addDelayedJob": "addDelayedJob-6.lua",
    "addPrioritizedJob": "addPrioritizedJob-9.lua",
}


def prefix_of(app: str) -> str:
    """What the keys of an app's queues begin with."""
    return f"{{aiapp:{app}}}"


def open_queue(name: str, client: Redis, app: str) -> Any:
    """The library's queue; a job of an id that has ended is replaced."""
    queue = bullmq.Queue(name, {"connection": client, "prefix": prefix_of(app)})
    connection: RedisConnection = queue.redisConnection
    line = OneLine(client)
    for command, file in _ADDING.items():
        connection.commands[command] = LineScript(client.register_script(_REPLACING + loadScript(file)), line)
    return queue


def keep_results(worker: Any, client: Redis) -> None:
    """Let `worker` forget each completed job after its own time."""
    script = _EXPIRING % loadScript("moveToFinished-14.lua")
    worker.redisConnection.commands["moveToFinished"] = LineScript(client.register_script(script), OneLine(client))
