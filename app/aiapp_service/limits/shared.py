"""Limits that all replicas count together, in Redis.

Requests that come at the same moment are asked for together: one script call, which admits each by itself. What is
over is settled in batches too, which nobody waits for; a batch that is sent twice counts once.
"""

import asyncio
import contextlib
import hashlib
import logging
import uuid
from pathlib import Path
from typing import Any

import msgspec
from redis.exceptions import NoScriptError

from aiapp_service.limits.demand import Demand, Limit, Settlement, Verdict
from aiapp_service.limits.leases import Leases
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.outbox import Outbox
from aiapp_service.stores.redis import FastRedis

log = logging.getLogger(__name__)

# While one batch is under way the next one gathers; with two a far Redis does not make anybody wait for both.
_MOST_UNDER_WAY = 2
_BATCH = 64
_SETTLE_SECONDS = 0.005
# The first connection takes longer than a request may wait.
_START_SECONDS = 0.5
_ADMIT = Path(__file__).with_name("admit.lua").read_text(encoding="utf-8")
_ADMIT_SHA = hashlib.sha1(_ADMIT.encode(), usedforsecurity=False).hexdigest()
_SETTLE = Path(__file__).with_name("settle.lua").read_text(encoding="utf-8")

_Asked = tuple[Demand, "asyncio.Future[Verdict]"]


class SharedLimits:
    """One for a process. `app` tells the keys of one app from those of another in the same Redis."""

    def __init__(self, redis: FastRedis, outbox: Outbox, app: str) -> None:
        self._redis = redis
        self._outbox = outbox
        self._prefix = f"{{aiapp:{app}}}:limits:"
        self._sender = uuid.uuid4().hex
        self._number = 0
        self._asked: list[_Asked] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._working = 0
        self._settled: list[dict[str, Any]] = []
        self._leases = Leases(redis.run, self._prefix)
        self._renewing: asyncio.Task[None] | None = None

    async def admit(self, demand: Demand) -> Verdict:
        """Take all of it, or nothing. A request that is given up meanwhile has taken nothing.

        Raises:
            StoreDown: Redis does not answer in time; what it may have taken is given back.
        """
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._asked.append((demand, future))
        # A task that has begun takes a batch of what has come until then, and comes back for more.
        if self._working == 0 or (len(self._asked) % _BATCH == 1 and self._working < _MOST_UNDER_WAY):
            self._working += 1
            task = asyncio.create_task(self._work())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        try:
            verdict = await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                # The answer was here already, but nobody to hear it.
                self._give_back(demand, future.result())
            raise
        if verdict.refused is None:
            self._leases.begin(demand)
        return verdict

    def settle(self, settlement: Settlement) -> None:
        """Give back what it held, and count what it took. Never waits."""
        demand = settlement.demand
        self._leases.end(demand)
        self._note(_settled(demand, settlement.tokens - demand.tokens, settlement.cost))

    def spent_without(self, settlement: Settlement) -> None:
        """Count what a request took that was admitted without asking here."""
        request = _settled(settlement.demand, 0, settlement.cost)
        self._note({"id": request["id"], "budgets": request["budgets"], "cost": settlement.cost})

    async def start(self) -> None:
        """Connect, so that the first requests find everything ready; without Redis they do without."""
        self._renewing = asyncio.create_task(self._leases.watch())
        with contextlib.suppress(Exception):
            await self._admitted([], _START_SECONDS)

    def close(self) -> None:
        """Hand over what is settled; call it before the outbox is closed."""
        if self._renewing is not None:
            self._renewing.cancel()
        self._hand_over()

    async def _work(self) -> None:
        try:
            while self._asked:
                batch, self._asked = self._asked[:_BATCH], self._asked[_BATCH:]
                await self._answer(batch)
        finally:
            # In the same turn as the last look for more: whoever comes later finds that nobody works any more. A task
            # counts as done only some turns after it has ended.
            self._working -= 1

    async def _answer(self, batch: list[_Asked]) -> None:
        try:
            verdicts = await self._admitted([demand for demand, _ in batch])
        except Exception as error:  # noqa: BLE001  # whatever it is: those who wait get to know it
            for _, future in batch:
                if not future.done():
                    future.set_exception(StoreDown(str(error)))
            return
        for (demand, future), verdict in zip(batch, verdicts, strict=True):
            if future.done():
                self._give_back(demand, verdict)
            else:
                future.set_result(verdict)

    async def _admitted(self, demands: list[Demand], deadline: float | None = None) -> list[Verdict]:
        text = msgspec.json.encode([_asked(demand) for demand in demands])
        try:
            try:
                answer = await self._redis.ask("EVALSHA", _ADMIT_SHA, 1, self._prefix, text, deadline=deadline)
            except NoScriptError:
                # This Redis has not seen it since its start.
                answer = await self._redis.ask("EVAL", _ADMIT, 1, self._prefix, text, deadline=deadline)
            return [_verdict(fields) for fields in msgspec.json.decode(answer)]
        except Exception as error:  # a mistake of ours turns no client away
            if not isinstance(error, StoreDown):
                log.exception("limits cannot be asked for")
            if not isinstance(error, StoreDown) or error.sent:
                # They may have been taken without our hearing of it.
                for demand in demands:
                    self.settle(Settlement(demand))
            raise

    def _give_back(self, demand: Demand, verdict: Verdict) -> None:
        if verdict.refused is None:
            self.settle(Settlement(demand))

    def _note(self, settled: dict[str, Any]) -> None:
        self._settled.append(settled)
        if len(self._settled) == 1:
            asyncio.get_running_loop().call_later(_SETTLE_SECONDS, self._hand_over)

    def _hand_over(self) -> None:
        if self._settled:
            settled, self._settled = self._settled, []
            self._number += 1
            text = msgspec.json.encode(settled)
            self._outbox.put([("EVAL", _SETTLE, 1, self._prefix, self._sender, self._number, text)])


def _asked(demand: Demand) -> dict[str, Any]:
    """As the script takes it; what is not limited is not there, for null is something in Lua."""
    limits = {
        "rpm": demand.rates.requests_per_minute,
        "tpm": demand.rates.tokens_per_minute,
        "slots": demand.rates.concurrent_requests,
    }
    return {
        "id": demand.id,
        "subject": demand.subject,
        "tokens": demand.tokens,
        "hold": demand.hold,
        "budgets": [
            {
                "account": share.account,
                "limit": share.limit,
                "cost": share.cost,
                "blocks": share.blocks,
                "ends": int(share.ends.timestamp()),
            }
            for share in demand.budgets
        ],
        **{name: limit for name, limit in limits.items() if limit is not None},
    }


def _verdict(fields: dict[str, Any]) -> Verdict:
    refused = fields.get("refused")
    return Verdict(
        None if refused is None else Limit(refused),
        int(fields["wait"]),
        int(fields["requests"]),
        int(fields["tokens"]),
        # An empty table is an object to Lua's JSON.
        tuple(int(amount) for amount in fields["spent"]),
        int(fields["budget"]),
        tuple(int(number) for number in fields["over"]),
    )


def _settled(demand: Demand, more_tokens: int, cost: int) -> dict[str, Any]:
    """As the script takes it."""
    settled: dict[str, Any] = {
        "id": demand.id,
        "subject": demand.subject,
        "tokens": more_tokens,
        "cost": cost,
        "budgets": [
            {"account": share.account, "cost": share.cost, "ends": int(share.ends.timestamp())}
            for share in demand.budgets
        ],
    }
    if demand.rates.tokens_per_minute is not None:
        settled["tpm"] = demand.rates.tokens_per_minute
    if demand.rates.concurrent_requests is not None:
        settled["slots"] = True
    return settled
