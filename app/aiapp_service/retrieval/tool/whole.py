"""An answer in one piece, after as many rounds as it takes."""

import json
from typing import Any

from aiapp_service.http.errors import ApiError
from aiapp_service.pipeline.exchange import Outcome, Whole
from aiapp_service.retrieval.tool.citations import Citations
from aiapp_service.retrieval.tool.request import NAME
from aiapp_service.retrieval.tool.rounds import Rounds
from aiapp_service.retrieval.tool.usage_fields import chat_usage


async def whole(rounds: Rounds) -> Outcome:
    """The answer with citations, and the usage of all rounds.

    Raises:
        ApiError: a backend's answer is no chat completion.
    """
    said = ""
    while True:
        outcome = await rounds.ask()
        await rounds.end()
        if not isinstance(outcome, Whole) or outcome.status != 200:
            return outcome
        document, message = _read(outcome.body)
        calls = message.get("tool_calls") or []
        ours = [call for call in calls if call["function"].get("name") == NAME]
        if not ours or len(ours) < len(calls):
            return Whole(200, _finished(rounds, document, message, said), outcome.content_type)
        said += message.get("content") or ""
        await rounds.search({"content": message.get("content")}, ours)


def _read(body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        document = json.loads(body)
        message = document["choices"][0]["message"]
        for call in message.get("tool_calls") or ():
            _ = call["id"], call["function"]["name"]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        why = "the backend answered with something that is no chat completion"
        raise ApiError(502, why, type_="server_error", code="backend_failed") from error
    return document, message


def _finished(rounds: Rounds, document: dict[str, Any], message: dict[str, Any], said: str) -> bytes:
    others = [call for call in message.get("tool_calls") or () if call["function"].get("name") != NAME]
    if message.get("tool_calls"):
        message["tool_calls"] = others
    text = said + (message.get("content") or "")
    if text:
        citations = Citations(rounds.searcher.sources)
        message["content"] = citations.feed(text) + citations.end()
        message["annotations"] = citations.found
    if len(rounds.exchange.call.rounds) > 1:
        document["usage"] = chat_usage(rounds.used)
        # They spell out the last piece alone, with its marks.
        document["choices"][0].pop("logprobs", None)
    return json.dumps(document, separators=(",", ":")).encode()
