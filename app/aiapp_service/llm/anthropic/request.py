"""A request for a chat completion -> one to /v1/messages.

What has no counterpart is left out, above all the sampling parameters, which the API has given up. Refused is only
what would change the form of the answer that the client waits for.
https://platform.claude.com/docs/en/api/messages/create
"""

from collections.abc import Mapping
from typing import Any

from aiapp_service.llm.anthropic.conversation import conversation
from aiapp_service.llm.anthropic.models import CURRENT, EFFORTS, Abilities
from aiapp_service.llm.anthropic.schema import enforceable
from aiapp_service.llm.anthropic.tools import tools_of
from aiapp_service.llm.chat_fields import answer_format, most_tokens, stop_texts
from aiapp_service.llm.translated import Untranslatable

# The API wants a limit, OpenAI's clients seldom give one. Thinking counts too, hence more than most answers have.
DEFAULT_MAX_TOKENS = 16_384
_ONLY_JSON = "Answer with one JSON object and nothing else."
_EFFORTS = {"none": "low", "minimal": "low"}


def message_request(body: Mapping[str, Any], abilities: Abilities = CURRENT) -> dict[str, Any]:
    """The body for /v1/messages.

    Raises:
        Untranslatable: it asks for what the API does not have; names the field.
    """
    _refuse_other_forms(body)
    system, turns = conversation(body.get("messages"))
    format_, instruction = _format(body.get("response_format"))
    system = "\n\n".join(text for text in (system, instruction) if text)
    sent: dict[str, Any] = {
        "model": body.get("model"),
        "max_tokens": _max_tokens(body, abilities),
        "messages": turns,
        **tools_of(body),
    }
    if system:
        sent["system"] = system
    if stops := _stop_sequences(body.get("stop")):
        sent["stop_sequences"] = stops
    if body.get("stream"):
        sent["stream"] = True
    user = body.get("safety_identifier") or body.get("user")
    if isinstance(user, str) and user:
        sent["metadata"] = {"user_id": user}
    output = {**format_, **_effort(body, abilities)}
    if output:
        sent["output_config"] = output
    if _thinks(body, sent, abilities):
        sent["thinking"] = {"type": "adaptive"}
    if body.get("prompt_cache_key") or body.get("prompt_cache_retention"):
        # Writing to the cache costs more than reading pays back, unless the client means to come again.
        sent["cache_control"] = {"type": "ephemeral"}
    return sent


def _refuse_other_forms(body: Mapping[str, Any]) -> None:
    if body.get("n") not in (None, 1):
        raise Untranslatable("n has to be 1: Anthropic gives one answer to a request", "n")
    if body.get("logprobs"):
        raise Untranslatable("logprobs has to be false: Anthropic does not tell them", "logprobs")
    if body.get("modalities") not in (None, ["text"]):
        raise Untranslatable("modalities can only be text: Anthropic does not speak", "modalities")
    if body.get("functions"):
        raise Untranslatable("functions is outdated: give them as tools", "functions")


def _max_tokens(body: Mapping[str, Any], abilities: Abilities) -> int:
    return most_tokens(body) or min(DEFAULT_MAX_TOKENS, abilities.most_tokens or DEFAULT_MAX_TOKENS)


def _format(given: Any) -> tuple[dict[str, Any], str]:
    """Part of output_config, and what the model has to be told instead.

    The API's own output format, not a forced tool: current models that always think refuse forced tools, and
    a tool would have to be turned back into text, piece by piece.
    """
    kind, schema = answer_format(given)
    if kind == "json_schema":
        return {"format": {"type": "json_schema", "schema": enforceable(schema)}}, ""
    # The API can only enforce schemas.
    return {}, _ONLY_JSON if kind == "json_object" else ""


def _stop_sequences(stop: Any) -> list[str]:
    """The API refuses those of white space only."""
    return [text for text in stop_texts(stop) if text.strip()]


def _effort(body: Mapping[str, Any], abilities: Abilities) -> dict[str, Any]:
    given = body.get("reasoning_effort")
    if given is None or not abilities.efforts:
        return {}
    effort = _EFFORTS.get(given, given) if isinstance(given, str) else ""
    if effort not in EFFORTS:
        wanted = "none, minimal, low, medium, high, xhigh or max"
        raise Untranslatable(f"reasoning_effort has to be {wanted}", "reasoning_effort")
    # Those above are not known to every model.
    return {"effort": effort if effort in abilities.efforts else "high"}


def _thinks(body: Mapping[str, Any], sent: Mapping[str, Any], abilities: Abilities) -> bool:
    """Whether to ask for thinking: some models do it only then. Forced tools go without.

    In this mode earlier turns need not bring back what was thought, which a chat has no place for.
    """
    if body.get("reasoning_effort") in (None, "none", "minimal") or not abilities.adaptive_thinking:
        return False
    return sent.get("tool_choice", {}).get("type") not in ("any", "tool")
