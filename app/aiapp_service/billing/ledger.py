"""Each billable request becomes one row of table `usage`: through Redis and a worker where there are both."""

from typing import TYPE_CHECKING, Protocol

from aiapp_service.billing.row import UsageRow, row_of
from aiapp_service.pipeline.accounting import is_billable
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.exchange import Exchange

if TYPE_CHECKING:
    from aiapp_service.stores.outbox import Outbox
    from aiapp_service.stores.postgres import Database


class Sink(Protocol):
    """Where rows go. None of it waits but `close`."""

    def put(self, row: UsageRow) -> None:
        """Take a row; it is written soon, in the background."""

    def start(self) -> None:
        """Begin to write."""

    async def close(self) -> None:
        """Write what is left, within a few seconds."""


class Ledger:
    """Notes what was used."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def settle(self, exchange: Exchange) -> None:
        """For `accounting`: note an exchange that is over."""
        self.note(exchange.call)

    def note(self, call: Call) -> None:
        """Note a call whose usage and cost are known; what is not billable, or billed apart, is none."""
        if is_billable(call) and not call.billed_apart:
            self._sink.put(row_of(call))

    def start(self) -> None:
        """Begin to write in the background."""
        self._sink.start()

    async def close(self) -> None:
        """Write what is left, within a few seconds."""
        await self._sink.close()


def open_ledger(app: str, outbox: "Outbox | None", database: "Database") -> Ledger:
    """The ledger of an app, kept in `database`; with an outbox it goes through Redis."""
    if outbox is None:
        from aiapp_service.billing.direct import DirectSink  # noqa: PLC0415  # for a light start

        return Ledger(DirectSink(database))
    from aiapp_service.billing.stream import StreamSink  # noqa: PLC0415  # for a light start

    return Ledger(StreamSink(outbox, app))
