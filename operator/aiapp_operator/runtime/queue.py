"""A queue of keys: each key once, one worker for a key at a time, failing keys later and later.

A key that is added while it is worked on runs once more afterwards. A delayed key keeps the
earliest of its times; adding it at once overtakes the delay.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from aiapp_operator.kube.store import AppKey

BACKOFF_FIRST_SECONDS = 1.0
BACKOFF_MOST_SECONDS = 300.0

K = TypeVar("K", bound=AppKey)
Waited = Callable[[float], None]


def _ignore(_seconds: float) -> None:
    return


class KeyedQueue(Generic[K]):
    """The queue. `waited` hears how long each key lay in it, in seconds."""

    def __init__(self, rng: random.Random, waited: Waited = _ignore) -> None:
        self._rng = rng
        self._waited = waited
        self._ready: deque[K] = deque()
        self._since: dict[K, float] = {}  # keys in _ready, and since when
        self._working: set[K] = set()
        self._again: set[K] = set()  # added while worked on
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def delayed(self) -> int:
        """Keys that wait for their time."""
        return len(self._timers)

    def add(self, key: K) -> None:
        """Work on `key` as soon as possible."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._working:
            self._again.add(key)
        elif key not in self._since:
            self._since[key] = asyncio.get_running_loop().time()
            self._ready.append(key)
            self._arrived.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Work on `key` after this many seconds, or earlier where that was asked for before."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        when = loop.time() + seconds
        if key in self._since or (timer is not None and timer.when() <= when):
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_at(when, self.add, key)

    def retry(self, key: K) -> float:
        """Work on `key` again after its next back-off: exponential with full jitter; gives the seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        most = min(BACKOFF_MOST_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** min(failures, 16))
        seconds = self._rng.uniform(0.0, most)
        self.add_after(key, seconds)
        return seconds

    def failures(self, key: K) -> int:
        """How often in a row `key` was put back by `retry`."""
        return self._failures.get(key, 0)

    def forget_failures(self, key: K) -> None:
        """The next failure of `key` is a first one again."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key, now this worker's until `done`."""
        while not self._ready:
            self._arrived.clear()
            await self._arrived.wait()
        key = self._ready.popleft()
        self._waited(asyncio.get_running_loop().time() - self._since.pop(key))
        self._working.add(key)
        self._idle.clear()
        return key

    def done(self, key: K) -> None:
        """The worker is through with `key`."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
        if not self._working:
            self._idle.set()

    async def until_idle(self) -> None:
        """Wait until no worker works on anything."""
        await self._idle.wait()
