"""Parts of chat messages -> parts of Gemini's."""

from typing import Any

from aiapp_service.llm.chat_fields import data_url
from aiapp_service.llm.translated import Untranslatable

Part = dict[str, Any]


def parts_of(content: Any, where: str) -> list[Part]:
    """The parts of a message's content; texts without any text are left out.

    Raises:
        Untranslatable: a part is of a kind that the API does not have.
    """
    if content is None or isinstance(content, str):
        return [{"text": content}] if content else []
    if not isinstance(content, list):
        raise Untranslatable(f"{where} has to be a text or a list of parts", where)
    parts = [_part(part, f"{where}[{number}]") for number, part in enumerate(content)]
    return [part for part in parts if part.get("text") != ""]


def text_of(content: Any, where: str) -> str:
    """The text of content that can be nothing else.

    Raises:
        Untranslatable: there is something else in it.
    """
    parts = parts_of(content, where)
    if any("text" not in part for part in parts):
        raise Untranslatable(f"{where} can only be text", where)
    return "\n\n".join(part["text"] for part in parts)


def _part(part: Any, where: str) -> Part:
    kind = part.get("type") if isinstance(part, dict) else None
    given = part.get(kind) if isinstance(kind, str) else None
    fields = given if isinstance(given, dict) else {}
    if kind in ("text", "refusal") and isinstance(given, str):
        return {"text": given}
    if kind == "image_url":
        url = fields.get("url", given)
        if isinstance(url, str):
            return _inline(*data_url(url, f"{where}.image_url.url"))
    if kind == "file" and isinstance(fields.get("file_data"), str):
        return _inline(*data_url(fields["file_data"], f"{where}.file.file_data"))
    if kind == "input_audio" and isinstance(fields.get("data"), str) and isinstance(fields.get("format"), str):
        return _inline(f"audio/{fields['format']}", fields["data"])
    kinds = "text, image_url, input_audio or file with file_data"
    raise Untranslatable(f"{where} is no {kinds}: Google takes nothing else", where)


def _inline(media_type: str, data: str) -> Part:
    return {"inlineData": {"mimeType": media_type, "data": data}}
