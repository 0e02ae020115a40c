"""A chat completion -> the response."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiapp_service.http.errors import ApiError
from aiapp_service.llm.chat_answer import thoughts_in
from aiapp_service.llm.usage import Usage, usage_of
from aiapp_service.responses import ids, items
from aiapp_service.responses.items import COMPLETED, INCOMPLETE, Item

# Why a model stopped short, in the words of either API.
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def respond(document: Mapping[str, Any], body: bytes, searches: Sequence[Item] = ()) -> dict[str, Any]:
    """The response that began as `document`, of the chat completion in `body`, after these searches.

    Raises:
        ApiError: this is no chat completion.
    """
    try:
        completion = json.loads(body)
        choice = completion["choices"][0]
        output = _output(choice["message"], choice, document["id"], searches)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        why = "the backend answered with something that is no chat completion"
        raise ApiError(502, why, type_="server_error", code="backend_failed") from error
    finish = choice.get("finish_reason")
    return ended({**document, **tier(completion)}, output, finish, usage_of(completion))


def _output(message: dict[str, Any], choice: dict[str, Any], response: str, searches: Sequence[Item]) -> list[Item]:
    output: list[Item] = list(searches)

    def name(prefix: str) -> str:
        return ids.of_item(prefix, response, len(output))

    if thoughts := thoughts_in(message):
        output.append(items.reasoning(name("rs"), COMPLETED, [items.summary_part(thoughts)]))
    content = []
    if text := message.get("content"):
        content.append(items.text_part(text, logprobs_in(choice), message.get("annotations")))
    if refusal := message.get("refusal"):
        content.append(items.refusal_part(refusal))
    if content:
        output.append(items.message(name("msg"), COMPLETED, content))
    for call in message.get("tool_calls") or ():
        function = call["function"]
        arguments = function.get("arguments") or ""
        output.append(items.function_call(name("fc"), COMPLETED, call["id"], function["name"], arguments))
    if len(output) > len(searches):
        # Where the model had to stop short it did so in the last one.
        output[-1]["status"] = status_after(choice.get("finish_reason"))
    return output


def status_after(finish: object) -> str:
    """The status of a response whose model stopped for this reason."""
    return INCOMPLETE if finish in _INCOMPLETE else COMPLETED


def ended(document: Mapping[str, Any], output: list[Item], finish: object, usage: Usage | None) -> dict[str, Any]:
    """The response with all that the model said; incomplete where it had to stop short."""
    status = status_after(finish)
    why = _INCOMPLETE.get(str(finish))
    return {
        **document,
        "status": status,
        "completed_at": int(time.time()) if status == COMPLETED else None,
        "incomplete_details": {"reason": why} if why else None,
        "output": output,
        "usage": usage_fields(usage),
    }


def usage_fields(usage: Usage | None) -> Item | None:
    """Tokens as responses count them; None where the backend did not tell."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def logprobs_in(choice: Mapping[str, Any]) -> list[Any]:
    """The tokens of a choice, or a piece of one, with their probabilities; empty where they were not asked for."""
    given = choice.get("logprobs")
    content = given.get("content") if isinstance(given, dict) else None
    return content if isinstance(content, list) else []


def tier(completion: Mapping[str, Any]) -> Item:
    """The service tier, where the provider names one."""
    given = completion.get("service_tier")
    return {"service_tier": given} if isinstance(given, str) else {}


def dump(response: Mapping[str, Any]) -> bytes:
    """As JSON."""
    return json.dumps(response, separators=(",", ":")).encode()
