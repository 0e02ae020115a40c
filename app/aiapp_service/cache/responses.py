"""Answers of the Responses API in the caches: which are kept, and how one that is kept becomes a stream."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from aiapp_service.cache.question import Question, question_of
from aiapp_service.cache.recording import Unfit
from aiapp_service.cache.replay import pieces
from aiapp_service.http.errors import ApiError
from aiapp_service.llm.responses_stream import ENDS, RESPONSE
from aiapp_service.llm.sse import Splitter, data_of
from aiapp_service.responses.events import Events
from aiapp_service.responses.items import COMPLETED, IN_PROGRESS, Item
from aiapp_service.responses.request import Given

_KEPT_ITEMS = frozenset({"message", "reasoning"})


def may_keep(document: Any) -> bool:
    """Whether this response is one to give again: complete, with text, and without anything that acts or refuses."""
    if not isinstance(document, dict) or document.get("status") != COMPLETED or document.get("error"):
        return False
    output = document.get("output")
    if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
        return False
    parts = [part for item in output if item.get("type") == "message" for part in item.get("content") or ()]
    return (
        all(item.get("type") in _KEPT_ITEMS for item in output)
        and bool(parts)
        and all(isinstance(part, dict) and part.get("type") == "output_text" for part in parts)
    )


def question_of_response(body: Mapping[str, Any], fingerprint: bytes) -> Question | None:
    """The question of a request for a response, see `question_of`; answers to chats are none to it."""
    try:
        chat = Given.of(body).asked({}).chat
    except ApiError:
        return None
    return question_of(chat, fingerprint + b"responses")


def in_stream(events: bytes) -> dict[str, Any]:
    """The whole response that ends a stream. Raises Unfit."""
    for event in reversed(list(Splitter().feed(events))):
        if RESPONSE not in event:
            continue
        try:
            document = json.loads(data_of(event))
            if document["type"] in ENDS:
                return dict(document["response"])
        except (ValueError, LookupError, TypeError) as error:
            raise Unfit from error
    raise Unfit


def replayed(body: bytes) -> bytes:
    """The events of a response that was kept."""
    response, events = json.loads(body), Events()
    begun = {**response, "status": IN_PROGRESS, "completed_at": None, "output": [], "usage": None}
    written = [events.write(f"response.{kind}", response=begun) for kind in ("created", IN_PROGRESS)]
    for index, item in enumerate(response["output"]):
        written += _item(events, item, index)
    return b"".join([*written, events.write("response.completed", response=response)])


def _item(events: Events, item: Item, index: int) -> Iterator[bytes]:
    is_message = item["type"] == "message"
    added = {**item, "status": IN_PROGRESS, "content": []} if is_message else item
    yield events.write("response.output_item.added", output_index=index, item=added)
    for number, part in enumerate(item["content"] if is_message else ()):
        where = {"item_id": item.get("id"), "output_index": index, "content_index": number}
        text, logprobs = part["text"], part.get("logprobs") or []
        empty = {**part, "text": "", "annotations": [], "logprobs": []}
        yield events.write("response.content_part.added", **where, part=empty)
        for piece_number, piece in enumerate(pieces(text)):
            told = logprobs if piece_number == 0 else []
            yield events.write("response.output_text.delta", **where, delta=piece, logprobs=told)
        for annotation_index, annotation in enumerate(part.get("annotations") or ()):
            fields = {"annotation_index": annotation_index, "annotation": annotation}
            yield events.write("response.output_text.annotation.added", **where, **fields)
        yield events.write("response.output_text.done", **where, text=text, logprobs=logprobs)
        yield events.write("response.content_part.done", **where, part=part)
    yield events.write("response.output_item.done", output_index=index, item=item)
