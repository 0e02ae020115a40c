"""What the downloader asks of a source, and which of its files it wants."""

import re
from collections.abc import AsyncGenerator, Iterable
from pathlib import PurePosixPath
from typing import Protocol

from aiapp_service.weights.errors import FetchFailed
from aiapp_service.weights.wanted import File, Listing

# A model may be split: NAME-00001-of-00003.gguf stands for all of its parts.
_PART = re.compile(r"-\d{5}-of-(\d{5})(\.[a-z0-9]+)$")
# The same weights in other forms, beside those that engines load.
_OTHER_FORMS = frozenset({".bin", ".pt", ".pth", ".msgpack", ".h5", ".ot", ".onnx", ".gguf", ".tflite"})


class Source(Protocol):
    """A place that holds files. Its methods raise FetchFailed with the cause, Interrupted where it may pass."""

    async def list(self) -> Listing:
        """What is to be downloaded."""
        ...

    def read(self, file: File, start: int) -> AsyncGenerator[bytes, None]:
        """The bytes of a file from `start` on."""
        ...

    async def close(self) -> None:
        """Give up the connections."""
        ...


def parts_of(path: str) -> re.Pattern[str]:
    """The names of all parts of a file; of one that is not split its own alone."""
    found = _PART.search(path)
    if found is None:
        return re.compile(re.escape(path))
    return re.compile(rf"{re.escape(path[: found.start()])}-\d{{5}}-of-{found.group(1)}{re.escape(found.group(2))}")


def needed(paths: Iterable[str]) -> set[str]:
    """The files of a whole model that an engine loads: with safetensors no other form of the same weights."""
    found = {path for path in paths if not path.startswith(".")}
    if not any(path.endswith(".safetensors") for path in found):
        return found
    return {p for p in found if PurePosixPath(p).suffix not in _OTHER_FORMS and not p.startswith("original/")}


def safe(path: str) -> str:
    """`path` if it stays below the folder that it is written to.

    Raises:
        FetchFailed: it does not.
    """
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise FetchFailed("SourceRefused", "the source names a file outside of itself")
    return path
