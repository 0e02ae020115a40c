"""A request for a response -> one for a chat completion."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiapp_service.http.errors import ApiError, bad_request
from aiapp_service.responses import fields, ids
from aiapp_service.responses.items import COMPLETED, IN_PROGRESS, Item
from aiapp_service.responses.messages import messages_of
from aiapp_service.responses.store import Record, ResponseStore

# What is translated, answered by ourselves, or says nothing to a chat. Every other field is passed on as it is.
_OURS = frozenset(
    {
        "background",
        "context_management",
        "conversation",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "n",
        "parallel_tool_calls",
        "previous_response_id",
        "reasoning",
        "store",
        "stream_options",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "truncation",
    }
)
# They are looked up at once, within the deadline of one call.
_MOST_NEEDED = 50
# What a response says again of its request.
_ECHOED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt": None,
    "reasoning": {"effort": None, "summary": None},
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


@dataclass(frozen=True)
class Asked:
    """A request that was understood.

    `document` is the response as it begins; `input` the items that came with it, `before` those of the
    conversation that it goes on with.
    """

    chat: dict[str, Any]
    document: dict[str, Any]
    input: Sequence[Item]
    before: Sequence[Item]
    store: bool
    results: bool = False  # searches are told with what they found


@dataclass(frozen=True)
class Given:
    """A request as it came: `body` with its input as items, and the response that it goes on with."""

    body: Mapping[str, Any]
    items: Sequence[Any]
    previous: str | None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Given":
        """Look into `body`.

        Raises:
            ApiError: `input` or `previous_response_id` is of a wrong type.
        """
        given, previous = body.get("input"), body.get("previous_response_id")
        if isinstance(given, str):
            given = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
        if given is not None and not isinstance(given, list):
            raise bad_request("input has to be a text or a list of items", "input")
        if previous is not None and not isinstance(previous, str):
            raise bad_request("previous_response_id has to be a string", "previous_response_id")
        return cls(body, given or [], previous or None)

    @property
    def needed(self) -> tuple[list[str], list[str]]:
        """Names of the responses that it refers to, and of items, by backends, that do not say of which they are.

        Raises:
            ApiError: they are too many to be looked up.
        """
        references = [item.get("id") for item in self.items if _is_reference(item)]
        named = [self.previous, *(ids.response_of(name) for name in references)]
        responses = list(dict.fromkeys(name for name in named if ids.may_be_name(name)))
        foreign = (name for name in references if ids.response_of(name) is None and ids.may_be_name(name))
        items = list(dict.fromkeys(foreign))
        count = len(responses) + len(items)
        if count > _MOST_NEEDED:
            message = f"input refers to {count} responses, {_MOST_NEEDED} are the most: send the items themselves"
            raise bad_request(message, "input")
        return responses, items

    async def records(self, store: ResponseStore, tenant: str) -> dict[str, Record]:
        """The responses that it refers to, as far as they are there.

        Raises:
            ApiError: they are too many to be looked up.
            StoreDown: they cannot be looked up now.
        """
        responses, items = self.needed
        if items:
            responses += await store.owners(tenant, items)
        return await store.read(tenant, list(dict.fromkeys(responses))) if responses else {}

    def asked(self, records: Mapping[str, Record]) -> Asked:
        """The request for a chat completion, given `records` of the responses that it refers to.

        Raises:
            ApiError: something in it is wrong or not supported; or a record is missing.
        """
        fields.refuse_unsupported(dict(self.body))
        before, items = self.before(records), self.resolved(records)
        # In this order, so that a mistake is found in the input and not somewhere in what came before.
        asked = messages_of(items)
        messages = [*self._instructions(), *messages_of(before), *asked]
        if not asked and not before and not self.body.get("prompt"):
            raise bad_request("input is required: a text, or a list with at least one item", "input")
        store, name = self.store, ids.new_response()
        document = self._document(name, store=store)
        results = fields.wants_results(dict(self.body))
        return Asked(self._chat(messages), document, named(items, name), before, store, results)

    @property
    def store(self) -> bool:
        """Whether the response shall be kept.

        Raises:
            ApiError: it says something else than yes or no.
        """
        store = self.body.get("store")
        if store is not None and not isinstance(store, bool):
            raise bad_request("store has to be true or false", "store")
        return store is not False

    def resolved(self, records: Mapping[str, Record]) -> list[Any]:
        """The items that came with it, with those that it only names put in.

        Raises:
            ApiError: one of these is not there.
        """
        return [_resolved(item, n, records) if _is_reference(item) else item for n, item in enumerate(self.items)]

    def before(self, records: Mapping[str, Record]) -> list[Item]:
        """The conversation that it goes on with.

        Raises:
            ApiError: its last response is not there.
        """
        if self.previous is None:
            return []
        if self.previous not in records:
            raise no_response(self.previous, "previous_response_id")
        return records[self.previous].conversation

    def _instructions(self) -> list[Item]:
        given = self.body.get("instructions")
        if given is not None and not isinstance(given, str):
            raise bad_request("instructions has to be a text", "instructions")
        return [{"role": "system", "content": given}] if given else []

    def _chat(self, messages: list[Item]) -> dict[str, Any]:
        body = dict(self.body)
        chat = {name: value for name, value in body.items() if name not in _OURS}
        for translated in (fields.tools(body), fields.text(body), fields.reasoning(body), fields.logprobs(body)):
            chat.update(translated)
        if body.get("max_output_tokens") is not None:
            chat["max_completion_tokens"] = body["max_output_tokens"]
        # Backends refuse it where there are no tools.
        if "tools" in chat and body.get("parallel_tool_calls") is not None:
            chat["parallel_tool_calls"] = body["parallel_tool_calls"]
        return {**chat, "messages": messages}

    def _document(self, name: str, *, store: bool) -> dict[str, Any]:
        given = self.body
        echoed = {field: given.get(field) if given.get(field) is not None else d for field, d in _ECHOED.items()}
        return {
            "id": name,
            "object": "response",
            "created_at": int(time.time()),
            "status": IN_PROGRESS,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": given.get("model"),
            "output": [],
            "store": store,
            "usage": None,
            **echoed,
        }


def no_response(name: str, param: str | None = None) -> ApiError:
    """404: it was never kept here, or is no longer."""
    message = f"there is no response {name[:100]!r}: it was not stored here, was deleted, or is older than 30 days"
    return ApiError(404, message, param=param, code="response_not_found")


def _is_reference(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    return item.get("type") == "item_reference" or (set(item) == {"id"})


def _resolved(item: Item, number: int, records: Mapping[str, Record]) -> Item:
    known = (one for record in records.values() for one in record.response["output"] if one.get("id") == item["id"])
    if found := next(known, None):
        return dict(found)
    message = f"input[{number}] refers to an item that is not there: send the item itself, or store its response"
    raise ApiError(404, message, param=f"input[{number}].id", code="item_not_found")


def named(items: Sequence[Item], response: str) -> list[Item]:
    """Items as they are given back later: each with a name, and its content as parts."""
    written = []
    for number, item in enumerate(items):
        kind = item.get("type", "message")
        own: Item = {"id": f"{kind}_{response.removeprefix('resp_')}_in_{number}", "status": COMPLETED}
        content = item.get("content")
        if kind == "message" and isinstance(content, str):
            type_ = "output_text" if item.get("role") == "assistant" else "input_text"
            item = {**item, "content": [{"type": type_, "text": content}]}  # noqa: PLW2901  # the same item, spelt out
        written.append({**own, **item, "type": kind})
    return written
