"""Encryption with age: backups are written for recipients, and read with an identity that only the drill and a
restore hold.

The library works on files that it reads and writes in its own time; a thread gives it the pieces of a stream.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiapp_service.backup.errors import BackupError, Damaged, Undecryptable
from aiapp_service.backup.programs import PIECE

if TYPE_CHECKING:
    from pyrage import x25519

_AHEAD = 2  # pieces that may wait for whoever takes them
_LOOK_SECONDS = 0.05


def encrypted(pieces: AsyncIterator[bytes], recipients: tuple[str, ...]) -> AsyncGenerator[bytes, None]:
    """`pieces` as an age file that each of the recipients (age1...) can open.

    Raises:
        BackupError: a recipient is none.
    """
    import pyrage  # noqa: PLC0415  # not needed without encryption

    try:
        parsed = [pyrage.x25519.Recipient.from_str(recipient) for recipient in recipients]
    except pyrage.RecipientError as error:
        raise BackupError(f"a recipient of the encryption is not a public age key (age1...): {error}") from error
    return _through(pieces, lambda reader, writer: pyrage.encrypt_io(reader, writer, parsed))


async def decrypted(pieces: AsyncIterator[bytes], identity_file: Path | None) -> AsyncGenerator[bytes, None]:
    """The content of an age file.

    Raises:
        Undecryptable: the identity does not open it, or there is none.
        Damaged: it is no whole age file.
    """
    import pyrage  # noqa: PLC0415  # not needed without encryption

    identities = _identities(identity_file)
    try:
        async for piece in _through(pieces, lambda reader, writer: pyrage.decrypt_io(reader, writer, identities)):
            yield piece
    except pyrage.DecryptError as error:
        if "matching" in str(error):
            raise Undecryptable("the identity is not one that this backup was encrypted for") from error
        raise Damaged(f"the dump cannot be decrypted: {error}") from error
    except OSError as error:
        raise Damaged(f"the dump cannot be decrypted: {error}") from error


def _identities(file: Path | None) -> "list[x25519.Identity]":
    from pyrage import IdentityError, x25519  # noqa: PLC0415  # not needed without encryption

    if file is None:
        raise Undecryptable("the backup is encrypted: an identity is needed, set identitySecretRef")
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        found = [x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except (OSError, UnicodeDecodeError, IdentityError) as error:
        raise Undecryptable("the Secret holds no age identity: a line AGE-SECRET-KEY-1... is needed") from error
    if not found:
        raise Undecryptable("the Secret of the age identity is empty")
    return found


async def _through(pieces: AsyncIterator[bytes], work: Callable[[Any, Any], None]) -> AsyncGenerator[bytes, None]:
    """What `work` writes when it reads `pieces`. What `pieces` raises is raised, whatever `work` makes of it."""
    bridge = _Bridge(asyncio.get_running_loop(), pieces)
    working = asyncio.create_task(asyncio.to_thread(bridge.run, work))
    try:
        while (piece := await bridge.out.get()) is not None:
            yield piece
    finally:
        # Again and again: the thread may be on its way into waiting.
        while not working.done():
            bridge.stop()
            await asyncio.wait([working], timeout=_LOOK_SECONDS)
    if bridge.failure is not None:
        raise bridge.failure


class _Bridge:
    """A stream of the event loop, as files for a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pieces: AsyncIterator[bytes]) -> None:
        self.out: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
        self.failure: BaseException | None = None
        self._loop = loop
        self._pieces = pieces
        self._have = memoryview(b"")
        self._collected = bytearray()
        self._waiting: Future[Any] | None = None
        self._stopped = False

    def run(self, work: Callable[[Any, Any], None]) -> None:
        """In the thread: do the work, then say that there is no more."""
        try:
            work(self, self)
            self._hand_over()
        except Exception as error:  # noqa: BLE001  # raised again on the other side
            self.failure = self.failure or error
        try:
            self._on_loop(self.out.put(None))
        except CancelledError:
            return

    def stop(self) -> None:
        """On the loop: end the thread's work, which nobody waits for any more."""
        self._stopped = True
        if self._waiting is not None:
            self._waiting.cancel()

    def read(self, size: int = -1) -> bytes:
        """For the library."""
        if not self._have:
            self._have = memoryview(self._on_loop(self._next()))
        given = self._have if size < 0 else self._have[:size]
        self._have = self._have[len(given) :]
        return bytes(given)

    def write(self, data: bytes) -> int:
        """For the library."""
        self._collected += data
        if len(self._collected) >= PIECE:
            self._hand_over()
        return len(data)

    def flush(self) -> None:
        """For the library; pieces are handed over when they are large enough."""

    def _hand_over(self) -> None:
        if self._collected:
            self._on_loop(self.out.put(bytes(self._collected)))
            self._collected.clear()

    async def _next(self) -> bytes:
        try:
            return await anext(self._pieces, b"")
        except Exception as error:  # kept for the other thread, which cannot see it
            self.failure = error
            raise

    def _on_loop(self, work: Any) -> Any:
        if self._stopped:
            work.close()
            raise CancelledError
        self._waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        return self._waiting.result()
