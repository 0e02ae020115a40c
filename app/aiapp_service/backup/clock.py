"""One clock for names and ages of backups: that of the object store.

Nodes and database servers come and go, and with a wrong clock one of them would name a backup in the
future (and every later one would seem older) or make all backups seem older than their retention. So
the time is asked for where the backups are: an object is written, and its Last-Modified is now. The
write also shows, before anything is dumped, that the store takes writes.
"""

from collections.abc import AsyncIterator
from datetime import datetime

from aiapp_service.backup import layout
from aiapp_service.backup.errors import BackupError
from aiapp_service.storage.objects import ObjectStore


async def now(store: ObjectStore, app: str) -> datetime:
    """The time.

    Raises:
        BackupError: the store does not keep what it takes.
    """
    key = layout.clock_key(app)
    await store.put(key, whole(b"backups take their time from this object"), content_type="text/plain")
    found = await store.head(key)
    if found is None:
        raise BackupError("the object store took an object and does not have it")
    return found.modified


async def whole(data: bytes) -> AsyncIterator[bytes]:
    """`data` as a stream."""
    yield data
