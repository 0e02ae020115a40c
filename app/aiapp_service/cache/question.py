"""What a request asks, as far as meaning may stand in for words: the text of its last message, and nothing else.

All that came before (system prompt, the conversation) and all parameters (tools, response format, sampling) have to
be equal. So do the numbers in the question: to an embedding 2023 and 2024 are nearly the same.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiapp_service.cache.canonical import canonical, digest, shaping

# The longer a text, the less of it shows in its embedding.
MOST_CHARACTERS = 2000
_NUMBER = re.compile(r"\d+")
_TEXT_ROLES = ("system", "developer", "user", "assistant")


@dataclass(frozen=True)
class Question:
    """`text` is compared by meaning, the two hashes have to be equal."""

    text: str
    context: bytes
    parameters: bytes


def question_of(body: Mapping[str, Any], fingerprint: bytes) -> Question | None:
    """The question of a chat request; None where words and their meaning are not all there is.

    `fingerprint` is that of the model's backends.
    """
    messages = body["messages"]
    last = messages[-1]
    if last.get("role") != "user" or not all(_is_text(message) for message in messages):
        return None
    text = _text_of(last["content"]).strip()
    if not text or len(text) > MOST_CHARACTERS:
        return None
    about = {name: value for name, value in last.items() if name != "content"}
    context = digest(canonical([messages[:-1], about, _NUMBER.findall(text)]))
    rest = {name: value for name, value in shaping(body).items() if name != "messages"}
    return Question(text, context, digest(canonical(rest), fingerprint))


def _is_text(message: Mapping[str, Any]) -> bool:
    """Whether a message has no tool calls or results, images, sound or files."""
    if message.get("role") not in _TEXT_ROLES:
        return False
    if message.get("tool_calls") or message.get("function_call") or message.get("audio"):
        return False
    content = message.get("content")
    return isinstance(content, str) or (isinstance(content, list) and all(_is_text_part(part) for part in content))


def _is_text_part(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _text_of(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)
