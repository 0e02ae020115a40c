"""Parts of chat messages -> content blocks."""

from typing import Any

from aiapp_service.llm.chat_fields import data_url
from aiapp_service.llm.translated import Untranslatable

Block = dict[str, Any]


def blocks_of(content: Any, where: str) -> list[Block]:
    """The blocks of a message's content; texts without any text are left out, as the API refuses them.

    Raises:
        Untranslatable: a part is of a kind that the API does not have.
    """
    if content is None or isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list):
        raise Untranslatable(f"{where} has to be a text or a list of parts", where)
    blocks = [_block(part, f"{where}[{number}]") for number, part in enumerate(content)]
    return [block for block in blocks if block.get("text") != ""]


def text_of(content: Any, where: str) -> str:
    """The text of content that can be nothing else.

    Raises:
        Untranslatable: there is something else in it.
    """
    blocks = blocks_of(content, where)
    if any(block["type"] != "text" for block in blocks):
        raise Untranslatable(f"{where} can only be text", where)
    return "\n\n".join(block["text"] for block in blocks)


def _block(part: Any, where: str) -> Block:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("text", "refusal"):
        text = part.get(kind)
        if isinstance(text, str):
            return {"type": "text", "text": text}
    elif kind == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        if isinstance(url, str):
            return {"type": "image", "source": _source(url, f"{where}.image_url.url")}
    elif kind == "file":
        file = part.get("file")
        data = file.get("file_data") if isinstance(file, dict) else None
        if isinstance(data, str):
            return {"type": "document", "source": _source(data, f"{where}.file.file_data")}
    raise Untranslatable(f"{where} is no text, image_url or file with file_data: Anthropic takes nothing else", where)


def _source(url: str, where: str) -> Block:
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    media_type, data = data_url(url, where)
    return {"type": "base64", "media_type": media_type, "data": data}
