"""OpenTelemetry traces: one span a request, named and described as the conventions for generative AI have it.

https://opentelemetry.io/docs/specs/semconv/gen-ai/

Off unless configured. What was asked and answered is in a span only where `content` is set: it may be personal data.
Spans leave in batches by a thread of the library's; a collector that is down costs requests nothing.
"""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
from opentelemetry import context, propagate
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context

from aiapp_service.config import TracingConfig
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.pipeline.exchange import Exchange, Next, Outcome, Stage, Streaming, Whole

EXPORT_SECONDS = 5
MOST_CONTENT = 64 * 1024
_OPERATIONS = {Endpoint.CHAT: "chat", Endpoint.RESPONSES: "chat", Endpoint.EMBEDDINGS: "embeddings"}
_REQUEST = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "n": "gen_ai.request.choice.count",
    "seed": "gen_ai.request.seed",
}


class Tracing:
    """Makes and sends spans. `processor` stands in for the one that sends them to the endpoint, in tests."""

    def __init__(self, config: TracingConfig, app: str, processor: SpanProcessor | None = None) -> None:
        self._content = config.content
        self._provider = TracerProvider(resource=Resource.create({"service.name": app}), shutdown_on_exit=False)
        self._provider.add_span_processor(processor or _sending(config.endpoint))
        self._tracer = self._provider.get_tracer("aiapp_service")

    def lead(self, session: aiohttp.ClientSession) -> None:
        """Let backends go on with the trace: what `session` sends for a request of ours carries its header."""
        hooks = aiohttp.TraceConfig()
        hooks.on_request_start.append(_carry)
        hooks.freeze()
        session.trace_configs.append(hooks)

    def close(self) -> None:
        """Send what is left; blocks for some seconds at most."""
        self._provider.shutdown()

    @property
    def stage(self) -> Stage:
        """The outermost stage: its span ends when everything about the request is known."""
        return self._trace

    async def _trace(self, exchange: Exchange, following: Next) -> Outcome:
        call = exchange.call
        parent = propagate.extract({"traceparent": call.traceparent}) if call.traceparent else context.Context()
        operation = _OPERATIONS[exchange.endpoint]
        span = self._tracer.start_span(
            f"{operation} {call.model}", parent, SpanKind.SERVER, _asked(exchange, operation)
        )
        said: list[bytes] = []
        if self._content:
            asked = exchange.body.get("input" if exchange.endpoint is Endpoint.RESPONSES else "messages")
            span.set_attribute("gen_ai.input.messages", _text(asked))
        exchange.cleanup.callback(self._end, exchange, span, said)
        token = context.attach(set_span_in_context(span, parent))
        try:
            outcome = await following(exchange)
        except Exception as error:  # raised again, once the span has it
            span.set_status(StatusCode.ERROR, type(error).__name__)
            span.set_attribute("error.type", str(getattr(error, "code", None) or type(error).__name__))
            raise
        finally:
            # A client that left has its handler unwound in another context.
            with suppress(ValueError):
                context.detach(token)
        if self._content:
            outcome = _listening(outcome, said)
        return outcome

    def _end(self, exchange: Exchange, span: Span, said: list[bytes]) -> None:
        for name, value in _found(exchange).items():
            span.set_attribute(name, value)
        if said:
            span.set_attribute("gen_ai.output.messages", _text(b"".join(said).decode("utf-8", "replace")))
        if exchange.call.truncated:
            span.set_status(StatusCode.ERROR, "the stream was truncated")
        span.end()


async def _carry(_session: aiohttp.ClientSession, _context: Any, start: aiohttp.TraceRequestStartParams) -> None:
    propagate.inject(start.headers)


def _sending(endpoint: str) -> SpanProcessor:
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
    return BatchSpanProcessor(exporter)


def _asked(exchange: Exchange, operation: str) -> dict[str, Any]:
    call, body = exchange.call, exchange.body
    known = {name: body[field] for field, name in _REQUEST.items() if isinstance(body.get(field), int | float)}
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": call.model,
        "aiapp.request_id": call.request_id,
        "aiapp.tenant": call.principal.tenant,
        "aiapp.streamed": exchange.streamed,
        **known,
    }


def _found(exchange: Exchange) -> dict[str, Any]:
    call = exchange.call
    found: dict[str, Any] = {}
    if call.backend is not None:
        found |= {"gen_ai.response.model": call.backend.model, "aiapp.backend": call.backend.name}
    if call.usage is not None:
        found |= {
            "gen_ai.usage.input_tokens": call.usage.input,
            "gen_ai.usage.output_tokens": call.usage.output,
            "aiapp.usage.estimated": call.estimated,
        }
    if call.cost is not None:
        found["aiapp.cost_usd"] = float(call.cost)
    if call.first_token_seconds is not None:
        found["gen_ai.server.time_to_first_token"] = call.first_token_seconds
    if call.cache:
        found["aiapp.cache"] = call.cache
    return found


def _listening(outcome: Outcome, said: list[bytes]) -> Outcome:
    if isinstance(outcome, Whole):
        said.append(outcome.body)
        return outcome

    async def events() -> AsyncIterator[bytes]:
        size = 0
        async for piece in outcome.events:
            if size < MOST_CONTENT:
                said.append(piece)
                size += len(piece)
            yield piece

    return Streaming(events())


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:MOST_CONTENT]
