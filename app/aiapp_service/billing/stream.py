"""The stream in Redis that rows of the ledger wait in, until they are in PostgreSQL."""

from typing import Final

from aiapp_service.billing.row import UsageRow
from aiapp_service.stores.outbox import Outbox

# One name for all processes: entries that nobody has committed for a while are taken over, whoever had them, and
# no names of processes that are long gone remain.
GROUP: Final = "ledger"
ROW: Final = "row"
REASON: Final = "reason"


def key_of(app: str) -> str:
    """The stream of an app."""
    return f"aiapp:{app}:usage"


def dead_key_of(app: str) -> str:
    """The stream of entries that can never become rows."""
    return f"{key_of(app)}:dead"


class StreamSink:
    """Sends rows to the stream in the background; they wait in the outbox while Redis is down."""

    def __init__(self, outbox: Outbox, app: str) -> None:
        self._outbox = outbox
        self._key = key_of(app)

    def put(self, row: UsageRow) -> None:
        """Send it soon. It may arrive twice, and is written once."""
        self._outbox.put([("XADD", self._key, "*", ROW, row.model_dump_json())])

    def start(self) -> None:
        """The outbox runs already."""

    async def close(self) -> None:
        """The outbox sends what is left when it is closed."""
