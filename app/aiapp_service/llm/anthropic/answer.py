"""A message -> a chat completion."""

import json
import time
from typing import Any

from aiapp_service.llm.translated import count

# An end that is not known counts as an ordinary one: new ones may come.
_FINISH = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def finish_reason(stop_reason: Any) -> str:
    """Why it ended, in OpenAI's words."""
    return _FINISH.get(stop_reason, "stop")


def usage_of_message(usage: Any) -> dict[str, Any]:
    """Tokens as OpenAI counts them: those read from and written to the cache are part of the prompt.

    `cache_write_tokens` is no field of OpenAI's: these cost more than others.
    """
    read, written = count(usage, "cache_read_input_tokens"), count(usage, "cache_creation_input_tokens")
    asked, answered = count(usage, "input_tokens") + read + written, count(usage, "output_tokens")
    details = usage.get("output_tokens_details") if isinstance(usage, dict) else None
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": count(details, "thinking_tokens")},
    }


def completion_of(message: dict[str, Any]) -> dict[str, Any]:
    """The chat completion. What it thought is `reasoning_content`, as with other servers of open models."""
    blocks = [block for block in message.get("content") or [] if isinstance(block, dict)]
    texts = [block.get("text") or "" for block in blocks if block.get("type") == "text"]
    thoughts = "".join(block.get("thinking") or "" for block in blocks if block.get("type") == "thinking")
    calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
    said: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None, "refusal": None}
    if thoughts:
        said["reasoning_content"] = thoughts
    if calls:
        said["tool_calls"] = calls
    choice = {"index": 0, "message": said, "logprobs": None, **ending(message)}
    return {
        "id": message.get("id"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": message.get("model"),
        "choices": [choice],
        "usage": usage_of_message(message.get("usage")),
    }


def ending(told: dict[str, Any]) -> dict[str, Any]:
    """The end of a choice. `stop_reason` is the stop sequence that was met, as vLLM tells it."""
    sequence = told.get("stop_sequence")
    met = {"stop_reason": sequence} if isinstance(sequence, str) else {}
    return {"finish_reason": finish_reason(told.get("stop_reason")), **met}


def _call(block: dict[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(block.get("input") or {}, ensure_ascii=False)
    return {
        "id": block.get("id"),
        "type": "function",
        "function": {"name": block.get("name"), "arguments": arguments},
    }
