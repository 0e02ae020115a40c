"""The bytes of a stored dump on their way out, hashed as they pass."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator

from aiapp_service.backup.errors import Damaged
from aiapp_service.backup.manifest import DumpFile


class Verified:
    """The last piece passes only when the whole is what the manifest says.

    Without it pg_restore cannot come to an end, so nothing of a damaged dump is ever committed.
    """

    def __init__(self, pieces: AsyncIterator[bytes], expected: DumpFile) -> None:
        self._pieces = pieces
        self._expected = expected
        self._hash = hashlib.sha256()
        self._size = 0

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The stored bytes.

        Raises:
            Damaged: they are not those that were written.
        """
        held = b""
        async for piece in self._passing():
            if held:
                yield held
            held = piece
        self._check()
        yield held

    async def check_the_rest(self) -> None:
        """Read on to the end, for when what took the pieces gave up before.

        Raises:
            Damaged: the bytes are not those that were written.
        """
        async for _ in self._passing():
            pass
        self._check()

    async def _passing(self) -> AsyncGenerator[bytes, None]:
        async for piece in self._pieces:
            self._hash.update(piece)
            self._size += len(piece)
            yield piece

    def _check(self) -> None:
        if self._size != self._expected.size:
            raise Damaged(f"the dump is damaged: it has {self._size} bytes instead of {self._expected.size}")
        if self._hash.hexdigest() != self._expected.sha256:
            raise Damaged("the dump is damaged: its SHA-256 is not the one in its manifest")
