"""Responses that are kept, so that a conversation can go on with nothing but the name of the last one.

In Redis for 30 days where there is one; else in this process, the latest ones, until it ends. A tenant's responses
are there for that tenant alone. What is kept is the conversation up to and with the response: nothing else is needed
to go on, and a response that is deleted takes nothing from those that came after it.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiapp_service.responses import ids
from aiapp_service.responses.items import Item

# More would not be through within the deadline of a request; it is much text, but few pictures.
MOST_RECORD_BYTES = 1024 * 1024
MOST_MEMORY_BYTES = 32 * 1024 * 1024
_MOST_OWNERS = 20_000


@dataclass(frozen=True)
class Record:
    """A response, what it answered, and the conversation before that."""

    response: Mapping[str, Any]
    input: Sequence[Item]
    before: Sequence[Item] = ()

    @property
    def foreign_items(self) -> list[str]:
        """Names of its items that do not say of which response they are: a backend gave them."""
        names = (item.get("id") for item in self.response["output"])
        return [name for name in names if ids.may_be_name(name) and ids.response_of(name) is None]

    @property
    def conversation(self) -> list[Item]:
        """All of it, in order."""
        return [*self.before, *self.input, *self.response["output"]]

    def dump(self) -> str:
        """As text."""
        fields = {"response": self.response, "input": list(self.input), "before": list(self.before)}
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def load(cls, text: str) -> "Record":
        """The inverse of `dump`; what another version of the service has added is left out."""
        fields = json.loads(text)
        return cls(fields["response"], fields["input"], fields["before"])


class ResponseStore(Protocol):
    """Where records are. Each method raises StoreDown when that place does not answer."""

    async def read(self, tenant: str, names: Sequence[str]) -> dict[str, Record]:
        """Those of the named responses that are there and the tenant's own."""

    async def owners(self, tenant: str, items: Sequence[str]) -> list[str]:
        """Names of the responses that have items of these names, which backends gave them."""

    async def write(self, tenant: str, record: Record) -> bool:
        """Keep one; False where it is too large."""

    async def delete(self, tenant: str, name: str) -> bool:
        """Forget one; False where it was not there."""


class LocalResponses:
    """The latest records of this process: other replicas do not know them, and they end with it."""

    def __init__(self, most_bytes: int = MOST_MEMORY_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._texts: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._owners: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def read(self, tenant: str, names: Sequence[str]) -> dict[str, Record]:
        """Those of the named responses that are there and the tenant's own."""
        found = {name: self._texts.get((tenant, name)) for name in names}
        return {name: Record.load(text) for name, text in found.items() if text is not None}

    async def owners(self, tenant: str, items: Sequence[str]) -> list[str]:
        """Names of the responses that have items of these names, which backends gave them."""
        found = (self._owners.get((tenant, item)) for item in items)
        return [name for name in found if name is not None]

    async def write(self, tenant: str, record: Record) -> bool:
        """Keep one, in place of the oldest ones; False where it is too large."""
        text = record.dump()
        if len(text) > MOST_RECORD_BYTES:
            return False
        name = record.response["id"]
        self._bytes -= len(self._texts.pop((tenant, name), ""))
        self._texts[tenant, name] = text
        self._bytes += len(text)
        for item in record.foreign_items:
            self._owners[tenant, item] = name
        while len(self._owners) > _MOST_OWNERS:
            self._owners.popitem(last=False)
        while self._bytes > self._most_bytes:
            _, oldest = self._texts.popitem(last=False)
            self._bytes -= len(oldest)
        return True

    async def delete(self, tenant: str, name: str) -> bool:
        """Forget one; False where it was not there."""
        text = self._texts.pop((tenant, name), None)
        self._bytes -= len(text or "")
        return text is not None
