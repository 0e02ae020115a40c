"""Google over HTTP, as any other backend."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp

from aiapp_service.credentials import SecretFile
from aiapp_service.llm.fetching import Fetch, no_fetch, with_images
from aiapp_service.llm.google.answer import completion_of
from aiapp_service.llm.google.embeddings import batches, embeddings_of
from aiapp_service.llm.google.errors import as_openai, refused_key
from aiapp_service.llm.google.models import without_thinking
from aiapp_service.llm.google.request import content_request
from aiapp_service.llm.google.stream import chat_stream
from aiapp_service.llm.http_upstream import HttpReply, Posted, checked_get
from aiapp_service.llm.translated import (
    JSON,
    MadeReply,
    Untranslatable,
    as_json,
    once,
    read_whole,
    refused,
    wants_usage,
)
from aiapp_service.llm.upstream import Ask, BackendError, Endpoint, Reason

BASE_URL = "https://generativelanguage.googleapis.com/v1beta"


class GoogleUpstream:
    """The Gemini API below `base_url`, with the key of `key_file`. Images that requests name come through `fetch`."""

    adds_usage = True
    has_responses = False

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        key_file: SecretFile | None,
        fetch: Fetch = no_fetch,
    ) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._key_file = key_file
        self._fetch = fetch
        self._without_thinking: frozenset[str] = frozenset()

    @asynccontextmanager
    async def send(self, ask: Ask) -> AsyncIterator[MadeReply]:
        """POST to the model. What cannot be said there is answered with 400, as the API itself would."""
        if ask.endpoint is Endpoint.EMBEDDINGS:
            yield await self._embeddings(ask)
            return
        if ask.endpoint is not Endpoint.CHAT:
            raise BackendError(Reason.MODEL_MISSING, f"has no {ask.endpoint}")
        try:
            body = content_request(await with_images(ask.body, self._fetch), self._without_thinking)
        except Untranslatable as error:
            yield refused(error)
            return
        streamed = bool(ask.body.get("stream"))
        method = "streamGenerateContent?alt=sse" if streamed else "generateContent"
        async with self._posted(ask, method, body) as reply:
            if reply.status != 200:
                yield await _failed(reply)
            elif streamed:
                chat = chat_stream(reply.chunks(), with_usage=wants_usage(ask.body))
                yield MadeReply(200, reply.content_type, None, chat)
            else:
                yield MadeReply(200, JSON, None, _completion(reply))

    async def probe(self) -> None:
        """GET /models, which also tells which of them think. Here a key that is not valid is a bad request."""
        async with checked_get(self._session, f"{self._base_url}/models?pageSize=1000", self._headers()) as response:
            status, body = response.status, await response.read()
        if status == 400 and refused_key(body):
            raise BackendError(Reason.REFUSED_KEY, "refuses the API key (400)")
        try:
            self._without_thinking = without_thinking(json.loads(body)) or self._without_thinking
        except ValueError:
            # Something in between that knows models only; the key was not refused.
            return

    async def _embeddings(self, ask: Ask) -> MadeReply:
        answers: list[dict[str, Any]] = []
        try:
            for body in batches(ask.body, _resource(ask)):
                async with self._posted(ask, "batchEmbedContents", body) as reply:
                    if reply.status != 200:
                        return await _failed(reply)
                    answers.append(json.loads(await read_whole(reply)))
            return MadeReply(200, JSON, None, once(as_json(embeddings_of(answers, ask.body))))
        except Untranslatable as error:
            return refused(error)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise BackendError(Reason.BROKEN, "answered with something that is no embedding") from error

    @asynccontextmanager
    async def _posted(self, ask: Ask, method: str, body: Mapping[str, Any]) -> AsyncIterator[HttpReply]:
        url = f"{self._base_url}/{quote(_resource(ask))}:{method}"
        async with Posted(self._session, url, body, self._headers(), ask.connect_seconds) as reply:
            yield reply

    def _headers(self) -> dict[str, str]:
        key = self._key_file.get() if self._key_file is not None else None
        return {"x-goog-api-key": key} if key else {}


def _resource(ask: Ask) -> str:
    """The model as the API addresses it: tuned ones bring their own collection."""
    model = str(ask.body.get("model"))
    return model if "/" in model else f"models/{model}"


async def _failed(reply: HttpReply) -> MadeReply:
    status, retry_after, body = as_openai(reply.status, await read_whole(reply))
    return MadeReply(status, JSON, retry_after or reply.retry_after, once(body))


async def _completion(reply: HttpReply) -> AsyncIterator[bytes]:
    try:
        completion = completion_of(json.loads(await read_whole(reply)))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BackendError(Reason.BROKEN, "answered with something that is no answer of a model") from error
    yield as_json(completion)
