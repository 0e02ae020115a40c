"""A stream of the Responses API: as a chat's, but an event with the whole response ends it, and there is no `[DONE]`.

Only events with a response in them, and errors, are looked into; all others pass as they come.
"""

from typing import Any

from aiapp_service.llm.sse import data_of
from aiapp_service.llm.stream import ModelStream, document_of, plain_until
from aiapp_service.llm.upstream import BackendError, Reason
from aiapp_service.llm.usage import usage_of

# In JSON a quote within a text has a backslash before it: these are names of fields.
RESPONSE, _ERROR = b'"response"', b'"error"'
ENDS = frozenset({"response.completed", "response.incomplete"})
_FAILS = frozenset({"response.failed", "error"})
# They come before the model has said a word; whatever else it does is told to the client at once.
_BEFORE = frozenset({"response.created", "response.queued", "response.in_progress", "keepalive"})
_FRAMES = frozenset(
    {"response.output_item.added", "response.content_part.added", "response.reasoning_summary_part.added"}
)
_SPOKEN_LATER = frozenset({"message", "reasoning"})


class ResponsesStream(ModelStream):
    """The events of one reply."""

    def _plain(self, whole: bytes) -> int:
        return plain_until(whole, whole.find(RESPONSE), whole.find(_ERROR))

    def _says_something(self, data: bytes) -> bool:
        if not data:
            return False
        document = document_of(data)
        kind = document.get("type") if isinstance(document, dict) else None
        if not isinstance(kind, str):
            raise BackendError(Reason.BROKEN, "sent something that is no response")
        if kind in _FRAMES:
            item = document.get("item")
            return isinstance(item, dict) and item.get("type") not in _SPOKEN_LATER
        return kind not in _BEFORE

    def _passes(self, event: bytes) -> bool:
        if self.complete:
            return False
        self.pieces += 1
        if RESPONSE not in event and _ERROR not in event:
            return True
        document: Any = document_of(data_of(event))
        kind = document.get("type") if isinstance(document, dict) else None
        if kind in _FAILS:
            raise BackendError(Reason.SERVER_ERROR, "reported an error within the stream")
        if kind in ENDS:
            self.usage = usage_of(document) or self.usage
            self.complete = True
        return True
