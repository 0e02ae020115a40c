"""Anthropic over HTTP, as any other backend."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from aiapp_service.credentials import SecretFile
from aiapp_service.llm.anthropic.answer import completion_of
from aiapp_service.llm.anthropic.errors import Untranslatable, as_openai, refusal
from aiapp_service.llm.anthropic.models import CURRENT, Abilities, abilities_of
from aiapp_service.llm.anthropic.request import message_request
from aiapp_service.llm.anthropic.stream import chat_events
from aiapp_service.llm.http_upstream import HttpReply, checked_get, posted
from aiapp_service.llm.upstream import Ask, BackendError, Endpoint, Reason

BASE_URL = "https://api.anthropic.com/v1"
VERSION = "2026-10-21"
_JSON = "application/json"
_EVENT_STREAM = "text/event-stream"
_MOST_ANSWER_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class ChatReply:
    """An answer in OpenAI's form."""

    status: int
    content_type: str
    retry_after: str | None
    body: AsyncIterator[bytes]

    def chunks(self) -> AsyncIterator[bytes]:
        """The body."""
        return self.body


class AnthropicUpstream:
    """The Messages API below `base_url`, with the key of `key_file`."""

    adds_usage = True

    def __init__(self, session: aiohttp.ClientSession, base_url: str, key_file: SecretFile | None) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._key_file = key_file
        self._abilities: Mapping[str, Abilities] = {}

    @asynccontextmanager
    async def send(self, ask: Ask) -> AsyncIterator[ChatReply]:
        """POST /messages. What cannot be said there is answered with 400, as the API itself would."""
        if ask.endpoint is not Endpoint.CHAT:
            raise BackendError(Reason.MODEL_MISSING, f"has no {ask.endpoint}")
        try:
            body = message_request(ask.body, self._abilities.get(str(ask.body.get("model")), CURRENT))
        except Untranslatable as error:
            yield ChatReply(400, _JSON, None, _once(refusal(str(error), param=error.param)))
            return
        async with posted(self._session, f"{self._base_url}/messages", body, self._headers(), ask.connect_seconds) as r:
            yield await _translated(r, ask)

    async def probe(self) -> None:
        """GET /models, which also tells what each of them takes."""
        async with checked_get(self._session, f"{self._base_url}/models?limit=1000", self._headers()) as response:
            body = await response.read()
        try:
            self._abilities = abilities_of(json.loads(body)) or self._abilities
        except ValueError:
            # Something in between that knows only /messages; the key was not refused.
            return

    def _headers(self) -> dict[str, str]:
        key = self._key_file.get() if self._key_file is not None else None
        return {"anthropic-version": VERSION, **({"x-api-key": key} if key else {})}


async def _translated(reply: HttpReply, ask: Ask) -> ChatReply:
    if reply.status != 200:
        status, body = as_openai(reply.status, await _read(reply))
        return ChatReply(status, _JSON, reply.retry_after, _once(body))
    if ask.body.get("stream"):
        options = ask.body.get("stream_options")
        with_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        return ChatReply(200, reply.content_type, reply.retry_after, chat_events(reply.chunks(), with_usage=with_usage))
    return ChatReply(200, _JSON, reply.retry_after, _completion(reply))


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _completion(reply: HttpReply) -> AsyncIterator[bytes]:
    try:
        message = json.loads(await _read(reply))
        if message["type"] != "message":
            raise TypeError(message["type"])
        completion = completion_of(message)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BackendError(Reason.BROKEN, "answered with something that is no message") from error
    yield json.dumps(completion, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


async def _read(reply: HttpReply) -> bytes:
    content = bytearray()
    async for chunk in reply.chunks():
        content += chunk
        if len(content) > _MOST_ANSWER_BYTES:
            raise BackendError(Reason.BROKEN, f"answered with more than {_MOST_ANSWER_BYTES} bytes")
    return bytes(content)
