"""A request for a chat completion -> one to :generateContent.

Refused is only what would change the form of the answer that the client waits for.
https://ai.google.dev/api/generate-content
"""

from collections.abc import Collection, Mapping
from typing import Any

from aiapp_service.llm.chat_fields import answer_format, most_tokens, stop_texts
from aiapp_service.llm.google.conversation import conversation
from aiapp_service.llm.google.models import thinking_config, wants_signatures
from aiapp_service.llm.google.schema import accepted
from aiapp_service.llm.google.tools import tools_of
from aiapp_service.llm.translated import Untranslatable

_NUMBERS = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_MOST_CHOICES = 8


def content_request(body: Mapping[str, Any], without_thinking: Collection[str] = ()) -> dict[str, Any]:
    """The body for :generateContent; models in `without_thinking` refuse to be told how much to think.

    Raises:
        Untranslatable: it asks for what the API does not have; names the field.
    """
    if body.get("modalities") not in (None, ["text"]):
        raise Untranslatable("modalities can only be text", "modalities")
    if body.get("functions"):
        raise Untranslatable("functions is outdated: give them as tools", "functions")
    model = str(body.get("model"))
    system, contents = conversation(body.get("messages"), signed=wants_signatures(model))
    sent: dict[str, Any] = {"contents": contents, **tools_of(body)}
    if system:
        sent["systemInstruction"] = {"parts": [{"text": system}]}
    generation = {**_sampling(body), **_format(body.get("response_format")), **_logprobs(body)}
    effort = body.get("reasoning_effort")
    if effort is not None and model not in without_thinking:
        generation["thinkingConfig"] = thinking_config(model, effort)
    if generation:
        sent["generationConfig"] = generation
    return sent


def _sampling(body: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        theirs: _number(body[ours], ours) for ours, theirs in _NUMBERS.items() if body.get(ours) is not None
    }
    if limit := most_tokens(body):
        fields["maxOutputTokens"] = limit
    if stops := stop_texts(body.get("stop")):
        fields["stopSequences"] = stops
    choices = body.get("n")
    if choices not in (None, 1):
        if isinstance(choices, bool) or not isinstance(choices, int) or not 1 <= choices <= _MOST_CHOICES:
            raise Untranslatable(f"n has to be a number from 1 to {_MOST_CHOICES}", "n")
        fields["candidateCount"] = choices
    return fields


def _number(given: Any, name: str) -> float:
    """The API would repeat anything else in its error."""
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise Untranslatable(f"{name} has to be a number", name)
    return given


def _format(given: Any) -> dict[str, Any]:
    kind, schema = answer_format(given)
    if kind == "text":
        return {}
    enforced = {"responseJsonSchema": accepted(schema)} if kind == "json_schema" else {}
    return {"responseMimeType": "application/json", **enforced}


def _logprobs(body: Mapping[str, Any]) -> dict[str, Any]:
    if not body.get("logprobs"):
        return {}
    wanted = body.get("top_logprobs")
    return {"responseLogprobs": True, **({"logprobs": _number(wanted, "top_logprobs")} if wanted else {})}
