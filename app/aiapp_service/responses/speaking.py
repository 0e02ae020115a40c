"""Items of a response while the model is still at them: how they begin, go on and end, as events.

Order and fields: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from typing import Any

from aiapp_service.responses import items
from aiapp_service.responses.events import Events
from aiapp_service.responses.items import IN_PROGRESS, Item
from aiapp_service.retrieval.tool.calls import SearchCall


class Spoken:
    """An item that has begun, at `index` of the output."""

    def __init__(self, events: Events, name: str, index: int) -> None:
        self._events = events
        self.name = name
        self.status = IN_PROGRESS
        self._index = index

    def document(self) -> Item:
        """The item as it is now."""
        raise NotImplementedError

    def begin(self) -> bytes:
        """The event that announces it."""
        return self._event("response.output_item.added", item=self.document(), named=False)

    def end(self, status: str) -> bytes:
        """The events that have all of it; `status` is what it ends with."""
        said, self.status = self._said_all(), status
        return said + self._event("response.output_item.done", item=self.document(), named=False)

    def _said_all(self) -> bytes:
        raise NotImplementedError

    def _event(self, type_: str, *, named: bool = True, **fields: Any) -> bytes:
        which = {"item_id": self.name} if named else {}
        return self._events.write(type_, **which, output_index=self._index, **fields)


class SpokenReasoning(Spoken):
    """What the model thinks."""

    def __init__(self, events: Events, name: str, index: int) -> None:
        super().__init__(events, name, index)
        self._text: list[str] = []

    def document(self) -> Item:
        """The item; without a part as long as nothing was said."""
        summary = [items.summary_part("".join(self._text))] if self._text else []
        return items.reasoning(self.name, self.status, summary)

    def begin(self) -> bytes:
        """The item and its only part."""
        part = items.summary_part("")
        return super().begin() + self._event("response.reasoning_summary_part.added", summary_index=0, part=part)

    def more(self, text: str) -> bytes:
        """A piece."""
        self._text.append(text)
        return self._event("response.reasoning_summary_text.delta", summary_index=0, delta=text)

    def _said_all(self) -> bytes:
        text = "".join(self._text)
        said = self._event("response.reasoning_summary_text.done", summary_index=0, text=text)
        part = items.summary_part(text)
        return said + self._event("response.reasoning_summary_part.done", summary_index=0, part=part)


class SpokenMessage(Spoken):
    """What the model says: a text, a refusal, or one after the other."""

    def __init__(self, events: Events, name: str, index: int) -> None:
        super().__init__(events, name, index)
        self._parts: list[Item] = []
        self._said: list[str] = []
        self._annotations: list[Item] = []
        self._logprobs: list[Any] = []

    def document(self) -> Item:
        """The item; of its last part as much as is finished."""
        return items.message(self.name, self.status, list(self._parts))

    def text(self, text: str, logprobs: list[Any]) -> bytes:
        """A piece of the text."""
        opened = self._part_of("output_text")
        self._said.append(text)
        self._logprobs.extend(logprobs)
        return opened + self._part("response.output_text.delta", delta=text, logprobs=logprobs)

    def cite(self, annotation: Item) -> bytes:
        """Where something in the text is from."""
        opened = self._part_of("output_text")
        self._annotations.append(annotation)
        number = len(self._annotations) - 1
        return opened + self._part(
            "response.output_text.annotation.added", annotation_index=number, annotation=annotation
        )

    def refusal(self, text: str) -> bytes:
        """A piece of the refusal."""
        opened = self._part_of("refusal")
        self._said.append(text)
        return opened + self._part("response.refusal.delta", delta=text)

    def _part_of(self, kind: str) -> bytes:
        if self._parts and self._parts[-1]["type"] == kind:
            return b""
        closed = self._said_all()
        self._said, self._logprobs, self._annotations = [], [], []
        self._parts.append(items.text_part("", []) if kind == "output_text" else items.refusal_part(""))
        return closed + self._part("response.content_part.added", part=self._parts[-1])

    def _said_all(self) -> bytes:
        if not self._parts:
            return b""
        said = "".join(self._said)
        if self._parts[-1]["type"] == "refusal":
            part = items.refusal_part(said)
            done = self._part("response.refusal.done", refusal=said)
        else:
            part = items.text_part(said, self._logprobs, self._annotations)
            done = self._part("response.output_text.done", text=said, logprobs=self._logprobs)
        self._parts[-1] = part
        return done + self._part("response.content_part.done", part=part)

    def _part(self, type_: str, **fields: Any) -> bytes:
        return self._event(type_, content_index=len(self._parts) - 1, **fields)


class SpokenSearch(Spoken):
    """A search in files that we have run: it is over when it is told of."""

    def __init__(self, events: Events, name: str, index: int, call: SearchCall, *, results: bool) -> None:
        super().__init__(events, name, index)
        self._call = call
        self._results = results

    def document(self) -> Item:
        """The item."""
        over = self.status != IN_PROGRESS
        call = self._call if over else SearchCall(self._call.queries)
        return items.file_search_call(self.name, self.status, call, results=self._results and over)

    def begin(self) -> bytes:
        """The item, and that the search goes on."""
        begun = super().begin() + self._event("response.file_search_call.in_progress")
        return begun + self._event("response.file_search_call.searching")

    def _said_all(self) -> bytes:
        return b"" if self._call.failed else self._event("response.file_search_call.completed")


class SpokenCall(Spoken):
    """A function that the client shall call."""

    def __init__(self, events: Events, name: str, index: int, call_id: str, function: str) -> None:
        super().__init__(events, name, index)
        self.call_id = call_id
        self._function = function
        self._arguments: list[str] = []

    def document(self) -> Item:
        """The item with the arguments so far."""
        return items.function_call(self.name, self.status, self.call_id, self._function, "".join(self._arguments))

    def more(self, arguments: str) -> bytes:
        """A piece of the arguments."""
        self._arguments.append(arguments)
        return self._event("response.function_call_arguments.delta", delta=arguments)

    def _said_all(self) -> bytes:
        arguments = "".join(self._arguments)
        return self._event("response.function_call_arguments.done", name=self._function, arguments=arguments)
