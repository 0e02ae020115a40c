"""Items of a conversation as they are sent again to a backend that has kept nothing of it.

Names that it gave are left out: it would look for what they name. So is what only it could read again, but for
reasoning that the client asked to have encrypted, which is all there (`include: ["reasoning.encrypted_content"]`).
"""

from collections.abc import Iterator, Sequence

from aiapp_service.responses.items import Item

_OWN = ("id", "status")


def again(items: Sequence[Item]) -> list[Item]:
    """The items to send."""
    return list(_again(items))


def _again(items: Sequence[Item]) -> Iterator[Item]:
    for item in items:
        kind = item.get("type", "message")
        if kind == "message":
            yield _message(item)
        elif kind == "reasoning":
            if item.get("encrypted_content"):
                yield item
        elif kind in ("function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"):
            yield {name: value for name, value in item.items() if name not in _OWN}
        elif kind != "file_search_call":
            # That one was ours: a backend knows nothing of our files.
            yield item


def _message(item: Item) -> Item:
    message = {name: value for name, value in item.items() if name not in _OWN}
    content = item.get("content")
    if item.get("role") == "assistant" and isinstance(content, list):
        # Not every server takes an answer back in parts.
        texts = (part.get("text") or part.get("refusal") or "" for part in content if isinstance(part, dict))
        message["content"] = "".join(texts)
    return message
