"""Faces: the APIs that clients speak. Behind each of them everything is OpenAI's chat completions."""

import json
from typing import Protocol

from aiapp_service.http.errors import ApiError
from aiapp_service.llm.sse import event_of
from aiapp_service.pipeline.exchange import Whole


class FaceStream(Protocol):
    """One stream as the client sees it."""

    def feed(self, events: bytes) -> bytes:
        """What the client gets for these events, which are whole ones; it may be nothing yet."""

    def broken(self, error: ApiError) -> bytes:
        """The last event of a stream that broke off. Nothing in it, or after it, claims that the answer is complete."""


class Face(Protocol):
    """One API."""

    def whole(self, answer: Whole) -> Whole:
        """An answer in the face's own form; it may be one that refuses the request."""

    def stream(self) -> FaceStream:
        """A stream that begins."""


class ChatStream:
    """Passes on what backends send, byte by byte."""

    def feed(self, events: bytes) -> bytes:
        """The same."""
        return events

    def broken(self, error: ApiError) -> bytes:
        """An event with an error and without `[DONE]`: SDKs raise it."""
        return event_of(json.dumps(error.document()).encode())


class ChatFace:
    """OpenAI's chat completions and embeddings: nothing has to be translated."""

    def whole(self, answer: Whole) -> Whole:
        """The same."""
        return answer

    def stream(self) -> ChatStream:
        """Nothing is kept from event to event."""
        return ChatStream()
