"""Traces: sent to a collector by OTLP, named as the conventions for generative AI have it, silent on what was said."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from aiapp_service.config import TracingConfig
from tests.integration.service.conftest import Serve, config, mock
from tests.integration.service.listening import listening
from tests.integration.service.upstream import Upstream

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
SECRET_WORDS = "nobody shall read this"


@dataclass
class Collector:
    """Takes spans by OTLP over HTTP."""

    url: str = ""
    spans: list[Any] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Collector"]:
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        async with listening(app) as base:
            self.url = base
            yield self

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        found = ExportTraceServiceRequest.FromString(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
        self.spans += [s for r in found.resource_spans for scope in r.scope_spans for s in scope.spans]
        return web.Response(body=b"", content_type="application/x-protobuf")


def attributes(span: Any) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        return getattr(value, value.WhichOneof("value"))

    return {item.key: plain(item.value) for item in span.attributes}


async def test_a_request_is_a_span_of_the_clients_trace_and_goes_on_in_the_backend(serve: Serve) -> None:
    async with Upstream().running() as upstream, Collector().running() as collector:
        wanted = config(upstream.url, tracing=TracingConfig(endpoint=collector.url))
        async with serve(wanted) as service:
            answer = await service.sdk().chat.completions.create(
                model="chat",
                messages=[{"role": "user", "content": SECRET_WORDS}],
                temperature=0.5,
                extra_headers={"traceparent": PARENT},
            )
            assert answer.choices
        (span,) = collector.spans
        found = attributes(span)
        assert span.name == "chat chat"
        assert span.trace_id.hex() == TRACE
        assert found["gen_ai.operation.name"] == "chat"
        assert found["gen_ai.request.model"] == "chat"
        assert found["gen_ai.request.temperature"] == 0.5
        assert found["gen_ai.response.model"] == "model-m0"
        assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (7, 4)
        assert upstream.traceparents[0].split("-")[1:3] == [TRACE, span.span_id.hex()]
        assert SECRET_WORDS not in str(collector.spans)


async def test_what_was_said_is_there_only_when_asked_for(serve: Serve) -> None:
    provider, backend = mock()
    async with Collector().running() as collector:
        tracing = TracingConfig(endpoint=collector.url, content=True)
        models = (config("http://x").models[0].model_copy(update={"backends": (backend,)}),)
        wanted = config("http://x", tracing=tracing, providers=(provider,), models=models)
        async with serve(wanted) as service:
            stream = await service.sdk().chat.completions.create(
                model="chat", messages=[{"role": "user", "content": SECRET_WORDS}], stream=True
            )
            assert [chunk async for chunk in stream]
        found = attributes(collector.spans[0])
        assert SECRET_WORDS in found["gen_ai.input.messages"]
        assert "nobody" in found["gen_ai.output.messages"]
        assert found["gen_ai.server.time_to_first_token"] > 0


async def test_failures_and_truncated_streams_are_errors(serve: Serve) -> None:
    async with Upstream(break_after=2).running() as upstream, Collector().running() as collector:
        async with serve(config(upstream.url, tracing=TracingConfig(endpoint=collector.url))) as service:
            body = {"model": "chat", "messages": [{"role": "user", "content": "x"}], "stream": True}
            async with service.http.post(f"{service.url}/v1/chat/completions", json=body) as response:
                await response.read()
            upstream.status = 500
            async with service.http.post(f"{service.url}/v1/chat/completions", json=body) as response:
                assert response.status == 502
        assert [span.status.code for span in collector.spans] == [2, 2]
        assert attributes(collector.spans[1])["error.type"] == "NoBackend"


async def test_a_collector_that_is_gone_costs_requests_nothing(serve: Serve) -> None:
    async with Upstream().running() as upstream:
        tracing = TracingConfig(endpoint="http://127.0.0.1:9")
        async with (
            serve(config(upstream.url, tracing=tracing)) as service,
            service.sdk() as client,
            asyncio.timeout(20),
        ):
            for _ in range(20):
                answer = await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "x"}])
                assert answer.choices
