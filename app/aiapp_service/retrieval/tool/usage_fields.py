"""Usage as a chat completion tells it."""

from typing import Any

from aiapp_service.llm.usage import Usage


def chat_usage(usage: Usage) -> dict[str, Any]:
    """The object `usage`."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": usage.audio_input},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_output},
    }
