"""The mock as any other backend."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiapp_service.llm.mock.chat import completion, stream
from aiapp_service.llm.mock.embeddings import embeddings
from aiapp_service.llm.mock.orders import Orders
from aiapp_service.llm.translated import JSON, MadeReply, once
from aiapp_service.llm.upstream import Ask, Endpoint

# Requests whose failures are counted; of more than these the oldest are forgotten.
_MOST_COUNTED = 1000


class MockUpstream:
    """Answers every request by itself."""

    adds_usage = True
    has_responses = False

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}

    @asynccontextmanager
    async def send(self, ask: Ask) -> AsyncIterator[MadeReply]:
        """Answer as told by `x_mock`."""
        orders = Orders.of(ask.body)
        if orders.delay_seconds > 0:
            await asyncio.sleep(orders.delay_seconds)
        status = self._status(ask.body, orders)
        if status is not None:
            error = {"error": {"message": "the mock was told to fail", "type": "mock_error", "code": None}}
            yield MadeReply(status, JSON, orders.retry_after, once(json.dumps(error).encode()))
        elif ask.endpoint is Endpoint.EMBEDDINGS:
            yield MadeReply(200, JSON, None, once(json.dumps(embeddings(ask.body)).encode()))
        elif ask.body.get("stream"):
            yield MadeReply(200, "text/event-stream", None, stream(ask.body, orders))
        else:
            yield MadeReply(200, JSON, None, once(json.dumps(completion(ask.body, orders)).encode()))

    async def probe(self) -> None:
        """It is always there."""

    def _status(self, body: Mapping[str, Any], orders: Orders) -> int | None:
        """The error that this request has to get; None: it is answered."""
        if not orders.statuses or orders.always:
            return orders.statuses[0] if orders.statuses else None
        key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        failed = self._failures.get(key, 0)
        if failed >= len(orders.statuses):
            return None
        self._failures[key] = failed + 1
        if len(self._failures) > _MOST_COUNTED:
            del self._failures[next(iter(self._failures))]
        return orders.statuses[failed]
