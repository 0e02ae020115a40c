"""What the mock says, as a chat completion or as the chunks of a stream."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from aiapp_service.llm.mock.orders import Orders
from aiapp_service.llm.mock.words import Said, choices_of, last_user_text, text_of
from aiapp_service.llm.sse import DONE, event_of
from aiapp_service.llm.translated import dicts, wants_usage
from aiapp_service.llm.upstream import BackendError, Reason

CREATED = 0
_MOST_ALTERNATIVES = 20


def completion(body: Mapping[str, Any], orders: Orders) -> dict[str, Any]:
    """A whole answer."""
    choices = choices_of(body, orders)
    return {
        **_head(body, "chat.completion"),
        "choices": [_choice(body, said, index) for index, said in enumerate(choices)],
        "usage": _usage(body, orders, choices),
    }


async def stream(body: Mapping[str, Any], orders: Orders) -> AsyncIterator[bytes]:
    """The same answer token by token; choices and calls take turns.

    Raises:
        BackendError: it was ordered to break off.
    """
    head = _head(body, "chat.completion.chunk")

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice: dict[str, Any] = {"index": index, "delta": delta, "finish_reason": finish}
        if body.get("logprobs") and delta.get("content"):
            choice["logprobs"] = _logprobs(body, [delta["content"]])
        return event_of(json.dumps({**head, "choices": [choice]}).encode())

    choices = choices_of(body, orders)
    for index, said in enumerate(choices):
        yield chunk(index, {"role": "assistant", "content": None if said.calls else ""})
    spoken = 0
    for round_ in zip_longest(*(_deltas(said) for said in choices)):
        for index, delta in enumerate(round_):
            if delta is None:
                continue
            if orders.drop_after is not None and spoken >= orders.drop_after:
                raise BackendError(Reason.BROKEN, "the answer broke off")
            if orders.token_seconds > 0:
                await asyncio.sleep(orders.token_seconds)
            yield chunk(index, delta)
            spoken += 1
    for index, said in enumerate(choices):
        yield chunk(index, {}, said.finish)
    if wants_usage(body):
        usage = _usage(body, orders, choices)
        yield event_of(json.dumps({**head, "choices": [], "usage": usage}).encode())
    yield event_of(DONE)


def _head(body: Mapping[str, Any], kind: str) -> dict[str, Any]:
    digest = hashlib.sha256(last_user_text(body).encode("utf-8", "replace")).hexdigest()[:24]
    return {"id": f"chatcmpl-{digest}", "object": kind, "created": CREATED, "model": body.get("model")}


def _choice(body: Mapping[str, Any], said: Said, index: int) -> dict[str, Any]:
    logprobs = _logprobs(body, said.tokens)
    return {"index": index, "message": _message(said), "finish_reason": said.finish, "logprobs": logprobs}


def _message(said: Said) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(said.tokens), "refusal": None}
    if said.calls:
        message["content"] = None
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": "".join(call.arguments)},
            }
            for call in said.calls
        ]
    return message


def _deltas(said: Said) -> Iterator[dict[str, Any]]:
    for token in said.tokens:
        yield {"content": token}
    for index, call in enumerate(said.calls):
        function = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}
        for token in call.arguments:
            yield {"tool_calls": [{"index": index, "function": {"arguments": token}}]}


def _usage(body: Mapping[str, Any], orders: Orders, choices: Sequence[Said]) -> dict[str, Any]:
    asked = sum(len(text_of(message.get("content")).split()) for message in dicts(body.get("messages")))
    answered = sum(said.count for said in choices) + (orders.reasoning_tokens or 0)
    usage: dict[str, Any] = {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
    }
    if orders.cached_tokens is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": min(orders.cached_tokens, asked)}
    if orders.reasoning_tokens is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": orders.reasoning_tokens}
    return usage


def _logprobs(body: Mapping[str, Any], tokens: Sequence[str]) -> dict[str, Any] | None:
    if not body.get("logprobs"):
        return None
    wanted = body.get("top_logprobs")
    count = min(wanted, _MOST_ALTERNATIVES) if isinstance(wanted, int) and wanted > 0 else 0
    return {"content": [_likely(token, count) for token in tokens], "refusal": None}


def _likely(token: str, alternatives: int) -> dict[str, Any]:
    logprob = -(len(token) % 7 + 1) / 10
    others = [(token if n == 0 else f"{token}{n}", logprob - n) for n in range(alternatives)]
    return {**_token(token, logprob), "top_logprobs": [_token(text, value) for text, value in others]}


def _token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace"))}
