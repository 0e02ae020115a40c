"""The face that clients of Anthropic's API see."""

import json

from aiapp_service.http.anthropic.errors import error_document
from aiapp_service.http.anthropic.errors import message_of as error_message
from aiapp_service.http.anthropic.message import message_of
from aiapp_service.http.anthropic.stream import MessageStream
from aiapp_service.http.errors import ApiError
from aiapp_service.pipeline.exchange import Whole


class MessagesFace:
    """The answer to one request. `thoughts`: the client wants to see what the model thought."""

    def __init__(self, request_id: str, *, thoughts: bool) -> None:
        self._request_id = request_id
        self._thoughts = thoughts

    def whole(self, answer: Whole) -> Whole:
        """A message, or an error in Anthropic's shape.

        Raises:
            ApiError: the backend's answer is no chat completion.
        """
        if answer.status != 200:
            document = error_document(answer.status, error_message(answer.body), self._request_id)
            return Whole(answer.status, json.dumps(document).encode())
        try:
            message = message_of(json.loads(answer.body), thoughts=self._thoughts)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ApiError(502, "the backend answered with something that is no chat", type_="server_error") from error
        return Whole(200, json.dumps(message, ensure_ascii=False).encode("utf-8", "replace"))

    def stream(self) -> MessageStream:
        """A stream that begins."""
        return MessageStream(self._request_id, thoughts=self._thoughts)
