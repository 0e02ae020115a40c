"""What an application has around it, in one pod: identity provider, moderation, embeddings, collector of traces.

Runs inside the image of the service, whose libraries it uses, as `python neighbour.py ISSUER`. PUT /jwks brings the
public keys; GET /spans and GET /judged tell what it was sent.
"""

import gzip
import hashlib
import sys
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PORT = 8080
MODERATION_KEY = "key-of-the-moderation"
_TOPICS = ("refund", "weather", "price")


class Neighbour:
    """Remembers what it was sent."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._jwks: Any = {"keys": []}
        self._spans: list[dict[str, Any]] = []
        self._judged: list[str] = []

    def application(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/.well-known/openid-configuration", self._discovery),
                web.get("/jwks", self._keys),
                web.put("/jwks", self._new_keys),
                web.post("/v1/moderations", self._judge),
                web.post("/v1/embeddings", self._embed),
                web.post("/v1/traces", self._trace),
                web.get("/spans", self._told_spans),
                web.get("/judged", self._told_judged),
            ]
        )
        return app

    async def _discovery(self, _request: web.Request) -> web.Response:
        return web.json_response({"issuer": self._issuer, "jwks_uri": f"{self._issuer}/jwks"})

    async def _keys(self, _request: web.Request) -> web.Response:
        return web.json_response(self._jwks)

    async def _new_keys(self, request: web.Request) -> web.Response:
        self._jwks = await request.json()
        return web.Response(status=204)

    async def _judge(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {MODERATION_KEY}":
            return web.json_response({"error": {"message": "no"}}, status=401)
        texts = (await request.json())["input"]
        self._judged += texts
        return web.json_response({"id": "m", "results": [{"flagged": "wicked" in text} for text in texts]})

    async def _embed(self, request: web.Request) -> web.Response:
        given = (await request.json())["input"]
        texts = [given] if isinstance(given, str) else given
        data = [{"object": "embedding", "index": n, "embedding": _meaning(text)} for n, text in enumerate(texts)]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return web.json_response({"object": "list", "data": data, "model": "meaning", "usage": usage})

    async def _trace(self, request: web.Request) -> web.Response:
        body = await request.read()
        found = ExportTraceServiceRequest.FromString(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
        for span in (s for r in found.resource_spans for scope in r.scope_spans for s in scope.spans):
            attributes = {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes}
            known = {"name": span.name, "trace": span.trace_id.hex(), "parent": span.parent_span_id.hex()}
            self._spans.append({**known, "attributes": {k: str(v) for k, v in attributes.items()}})
        return web.Response(body=b"", content_type="application/x-protobuf")

    async def _told_spans(self, _request: web.Request) -> web.Response:
        return web.json_response(self._spans)

    async def _told_judged(self, _request: web.Request) -> web.Response:
        return web.json_response(self._judged)


def _meaning(text: str) -> list[float]:
    """Texts about the same topic mean the same, all others something of their own."""
    topic = next((topic for topic in _TOPICS if topic in text), text)
    return [byte / 128 - 1 for byte in hashlib.sha256(topic.encode()).digest()]


if __name__ == "__main__":
    web.run_app(Neighbour(sys.argv[1]).application(), host="0.0.0.0", port=PORT, access_log=None)  # noqa: S104  # a pod
