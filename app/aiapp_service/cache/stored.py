"""An answer as it is kept: always a whole one, in the wire format of OpenAI, with what it took."""

import struct
import time
import zlib
from dataclasses import dataclass

from aiapp_service.llm.usage import Usage

# Longer answers are not kept.
MOST_BYTES = 1024 * 1024
# Shorter ones are not worth the processor's time.
COMPRESS_FROM_BYTES = 1024
_FORMAT = 1
_COMPRESSED, _HAS_USAGE = 1, 2
# Format, flags, unix seconds, four counts of tokens.
_HEAD = struct.Struct(">BBd4Q")
_FAST = 1


@dataclass(frozen=True)
class Stored:
    """`body` was answered with status 200 at `created` (unix seconds)."""

    body: bytes
    usage: Usage | None
    created: float

    @property
    def age(self) -> int:
        """Full seconds; never negative, whatever the clocks of two machines say."""
        return max(0, int(time.time() - self.created))

    def packed(self) -> bytes:
        """As it lies in a store."""
        body, flags = self.body, 0
        if len(body) >= COMPRESS_FROM_BYTES:
            body, flags = zlib.compress(body, _FAST), _COMPRESSED
        usage = self.usage or Usage()
        if self.usage is not None:
            flags |= _HAS_USAGE
        counts = (usage.input, usage.output, usage.cached, usage.reasoning)
        return _HEAD.pack(_FORMAT, flags, self.created, *counts) + body

    @classmethod
    def unpacked(cls, data: bytes) -> "Stored | None":
        """What `packed` gave; None where it is of another version of this service, or broken."""
        try:
            format_, flags, created, *counts = _HEAD.unpack_from(data)
            if format_ != _FORMAT:
                return None
            body = data[_HEAD.size :]
            if flags & _COMPRESSED:
                body = _decompressed(body)
        except (struct.error, zlib.error, ValueError):
            return None
        return cls(body, Usage(*counts) if flags & _HAS_USAGE else None, created)


def _decompressed(data: bytes) -> bytes:
    inflate = zlib.decompressobj()
    body = inflate.decompress(data, MOST_BYTES)
    if not inflate.eof:
        raise ValueError("longer than anything that is kept")
    return body
