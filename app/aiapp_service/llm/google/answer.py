"""What a model has generated -> a chat completion."""

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from aiapp_service.llm.translated import count, dicts
from aiapp_service.llm.upstream import BackendError, Reason

# An end that is not known counts as an ordinary one: new ones may come.
_FINISH = {
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
# The model got lost; asked once more, or another one, it may do better. There is no word of OpenAI's for it.
_FAILED = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
    }
)


def finish_reason(told: Any, *, calls: bool) -> str:
    """Why it ended, in OpenAI's words.

    Raises:
        BackendError: it ended because the model failed.
    """
    if told in _FAILED:
        raise BackendError(Reason.BROKEN, f"could not finish its answer ({told})")
    finish = _FINISH.get(told, "stop") if isinstance(told, str) else "stop"
    return "tool_calls" if calls and finish == "stop" else finish


def completion_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The chat completion. A prompt that was blocked is answered by a filtered choice.

    Raises:
        BackendError: the model failed.
        LookupError: there is no answer in it.
    """
    choices = [_choice(candidate) for candidate in dicts(answer.get("candidates"))]
    if not choices:
        said = {"role": "assistant", "content": None, "refusal": blocked(answer)}
        choices = [{"index": 0, "message": said, "logprobs": None, "finish_reason": "content_filter"}]
    return {
        "id": answer.get("responseId"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.get("modelVersion"),
        "choices": choices,
        "usage": usage_of_answer(answer.get("usageMetadata")),
    }


def blocked(answer: Mapping[str, Any]) -> str:
    """Why the prompt was not answered.

    Raises:
        LookupError: it was not blocked.
    """
    return f"Google blocked the prompt ({answer['promptFeedback']['blockReason']})"


def usage_of_answer(usage: Any) -> dict[str, Any]:
    """Tokens as OpenAI counts them: thoughts are part of the answer, what tools have read of the prompt."""
    asked = count(usage, "promptTokenCount") + count(usage, "toolUsePromptTokenCount")
    thought = count(usage, "thoughtsTokenCount")
    answered = count(usage, "candidatesTokenCount") + thought
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
        "prompt_tokens_details": {"cached_tokens": count(usage, "cachedContentTokenCount")},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def spoken(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """What a candidate says, in the fields of a message; those without anything are left out."""
    content = candidate.get("content")
    parts = list(dicts(content.get("parts"))) if isinstance(content, dict) else []
    texts = [part for part in parts if isinstance(part.get("text"), str)]
    said: dict[str, Any] = {
        "content": "".join(part["text"] for part in texts if not part.get("thought")),
        "reasoning_content": "".join(part["text"] for part in texts if part.get("thought")),
        "tool_calls": [_call(part) for part in parts if isinstance(part.get("functionCall"), dict)],
        "images": [_image(part["inlineData"]) for part in parts if isinstance(part.get("inlineData"), dict)],
    }
    signatures = [part["thoughtSignature"] for part in texts if part.get("thoughtSignature")]
    if signatures:
        said["extra_content"] = _signed(signatures[-1])
    return {name: value for name, value in said.items() if value}


def logprobs_of(candidate: Mapping[str, Any]) -> dict[str, Any] | None:
    """How likely each token was, and which others could have been; None where it is not told."""
    result = candidate.get("logprobsResult")
    if not isinstance(result, dict):
        return None
    tops = [list(dicts(step.get("candidates"))) for step in dicts(result.get("topCandidates"))]
    content = [
        {**_likely(token), "top_logprobs": [_likely(other) for other in (tops[number] if number < len(tops) else [])]}
        for number, token in enumerate(dicts(result.get("chosenCandidates")))
    ]
    return {"content": content, "refusal": None}


def _choice(candidate: Mapping[str, Any]) -> dict[str, Any]:
    said = spoken(candidate)
    finish = finish_reason(candidate["finishReason"], calls="tool_calls" in said)
    return {
        "index": candidate.get("index", 0),
        "message": {"role": "assistant", "content": None, "refusal": None, **said},
        "logprobs": logprobs_of(candidate),
        "finish_reason": finish,
    }


def _call(part: Mapping[str, Any]) -> dict[str, Any]:
    called = part["functionCall"]
    arguments = json.dumps(called.get("args") or {}, ensure_ascii=False)
    call: dict[str, Any] = {
        # Older models give none.
        "id": called.get("id") or f"call_{uuid.uuid4().hex[:24]}",
        "type": "function",
        "function": {"name": called.get("name"), "arguments": arguments},
    }
    signature = part.get("thoughtSignature")
    return {**call, "extra_content": _signed(signature)} if signature else call


def _signed(signature: Any) -> dict[str, Any]:
    return {"google": {"thought_signature": signature}}


def _image(data: Mapping[str, Any]) -> dict[str, Any]:
    """As other gateways tell of images; OpenAI's chats have none."""
    url = f"data:{data.get('mimeType')};base64,{data.get('data')}"
    return {"type": "image_url", "image_url": {"url": url}}


def _likely(token: Mapping[str, Any]) -> dict[str, Any]:
    text = str(token.get("token", ""))
    return {"token": text, "logprob": token.get("logProbability", 0.0), "bytes": list(text.encode("utf-8", "replace"))}
