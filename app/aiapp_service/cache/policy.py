"""Which requests may be answered from a cache, and which answers may be kept.

Whoever turns a cache on wants the usual request answered again, and the usual request says nothing of its
temperature: so that does not matter. A request is left alone when it asks for variety in so many words: `n` above
1, or a temperature above 1, the providers' default.

Kept is only what the model ended by itself (`finish_reason: stop`). `length` is half an answer, which the client
will want to have again, longer; `content_filter` and refusals are a verdict of the moment; tool calls make somebody
act, once.
"""

from collections.abc import Mapping
from typing import Any

from aiapp_service.llm.upstream import Endpoint

_USUAL_TEMPERATURE = 1


def may_ask(endpoint: Endpoint, body: Mapping[str, Any]) -> bool:
    """Whether this request may be answered from a cache."""
    if endpoint is Endpoint.EMBEDDINGS:
        return True
    count, temperature = body.get("n"), body.get("temperature")
    if count not in (None, 1):
        return False
    if isinstance(temperature, (int, float)) and temperature > _USUAL_TEMPERATURE:
        return False
    return not _speaks(body)


def _speaks(body: Mapping[str, Any]) -> bool:
    """Spoken answers can be referred to for an hour only, and are large."""
    modalities = body.get("modalities")
    return body.get("audio") is not None or (isinstance(modalities, list) and modalities != ["text"])


def may_keep(document: Any) -> bool:
    """Whether this chat completion is one to give again."""
    if not isinstance(document, dict) or document.get("error"):
        return False
    choices = document.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return False
    message = choices[0].get("message")
    if choices[0].get("finish_reason") != "stop" or not isinstance(message, dict):
        return False
    acts = any(message.get(name) for name in ("tool_calls", "function_call", "audio", "refusal"))
    return not acts and isinstance(message.get("content"), str) and bool(message["content"])
