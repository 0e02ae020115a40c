"""Anthropic over HTTP, as any other backend."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from aiapp_service.credentials import SecretFile
from aiapp_service.llm.anthropic.answer import completion_of
from aiapp_service.llm.anthropic.errors import as_openai
from aiapp_service.llm.anthropic.models import CURRENT, Abilities, abilities_of
from aiapp_service.llm.anthropic.request import message_request
from aiapp_service.llm.anthropic.stream import ChatChunks
from aiapp_service.llm.http_upstream import HttpReply, Posted, checked_get
from aiapp_service.llm.translated import (
    JSON,
    MadeReply,
    Untranslatable,
    as_json,
    chat_events,
    once,
    read_whole,
    refused,
    wants_usage,
)
from aiapp_service.llm.upstream import Ask, BackendError, Endpoint, Reason

BASE_URL = "https://api.anthropic.com/v1"
VERSION = "2026-10-21"


class AnthropicUpstream:
    """The Messages API below `base_url`, with the key of `key_file`."""

    adds_usage = True
    has_responses = False

    def __init__(self, session: aiohttp.ClientSession, base_url: str, key_file: SecretFile | None) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._key_file = key_file
        self._abilities: Mapping[str, Abilities] = {}

    @asynccontextmanager
    async def send(self, ask: Ask) -> AsyncIterator[MadeReply]:
        """POST /messages. What cannot be said there is answered with 400, as the API itself would."""
        if ask.endpoint is not Endpoint.CHAT:
            raise BackendError(Reason.MODEL_MISSING, f"has no {ask.endpoint}")
        try:
            body = message_request(ask.body, self._abilities.get(str(ask.body.get("model")), CURRENT))
        except Untranslatable as error:
            yield refused(error)
            return
        async with Posted(self._session, f"{self._base_url}/messages", body, self._headers(), ask.connect_seconds) as r:
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


async def _translated(reply: HttpReply, ask: Ask) -> MadeReply:
    if reply.status != 200:
        status, body = as_openai(reply.status, await read_whole(reply))
        return MadeReply(status, JSON, reply.retry_after, once(body))
    if ask.body.get("stream"):
        chat = ChatChunks(with_usage=wants_usage(ask.body))
        return MadeReply(200, reply.content_type, reply.retry_after, chat_events(reply.chunks(), chat.feed))
    return MadeReply(200, JSON, reply.retry_after, _completion(reply))


async def _completion(reply: HttpReply) -> AsyncIterator[bytes]:
    try:
        message = json.loads(await read_whole(reply))
        if message["type"] != "message":
            raise TypeError(message["type"])
        completion = completion_of(message)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BackendError(Reason.BROKEN, "answered with something that is no message") from error
    yield as_json(completion)
