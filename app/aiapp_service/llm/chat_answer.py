"""What servers spell in different ways in answers of chats."""

from collections.abc import Mapping
from typing import Any

# Servers disagree on the name of what a model thought.
_THOUGHTS = ("reasoning_content", "reasoning")


def thoughts_in(message: Mapping[str, Any]) -> str:
    """What a message, or a piece of one, tells of the model's reasoning."""
    return next((text for field in _THOUGHTS if isinstance(text := message.get(field), str) and text), "")
