"""A model server that answers with given bytes, and keeps those it was asked with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.integration.service.listening import listening


@dataclass
class Verbatim:
    """`whole` answers what is not streamed, `stream` what is; any other status than 200 answers both with `whole`."""

    whole: bytes = b"{}"
    stream: bytes = b""
    status: int = 200
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Verbatim"]:
        """Listen on a free port of loopback."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        async with listening(app) as base:
            self.url = f"{base}/v1"
            yield self

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        if self.status != 200 or not body.get("stream"):
            return web.Response(body=self.whole, status=self.status, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        # Who has read the last event may be gone before the end of the stream.
        with suppress(ConnectionError):
            # In pieces that end anywhere, as networks cut them.
            for start in range(0, len(self.stream), 37):
                await response.write(self.stream[start : start + 37])
                await asyncio.sleep(0)
            await response.write_eof()
        return response
