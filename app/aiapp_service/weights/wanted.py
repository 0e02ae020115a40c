"""What a source holds: files with their sizes, and how to tell that one is whole."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 4 * 1024 * 1024

Check = Callable[[Path], bool]


@dataclass(frozen=True)
class File:
    """A file of a source: its path below the download, its bytes, and what proves it (None: its size alone)."""

    path: str
    size: int
    check: Check | None = None
    tag: str = ""  # what it was when it was listed: another one since then is not the rest of it


@dataclass(frozen=True)
class Listing:
    """All that is to be downloaded; `revision` is the exact one where the source has such."""

    files: tuple[File, ...]
    revision: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def sha256(expected: str) -> Check:
    """The file's SHA-256, in hex."""
    return lambda path: _digest(path, "sha256") == expected.lower()


def md5(expected: str) -> Check:
    """The file's MD5: what a store that keeps an object in one piece calls it."""
    return lambda path: _digest(path, "md5") == expected


def git_blob(expected: str) -> Check:
    """The name by which git knows the content."""

    def check(path: Path) -> bool:
        head = f"blob {path.stat().st_size}\0".encode()
        return _digest(path, "sha1", head) == expected

    return check


def md5_of_parts(expected: str, part_bytes: int) -> Check:
    """The MD5 over the MD5s of its parts: what a store calls an object that was uploaded in parts."""

    def check(path: Path) -> bool:
        found, parts = b"", 0
        with path.open("rb") as file:
            while part := file.read(part_bytes):
                found += hashlib.md5(part, usedforsecurity=False).digest()
                parts += 1
        return f"{hashlib.md5(found, usedforsecurity=False).hexdigest()}-{parts}" == expected

    return check


def _digest(path: Path, algorithm: str, head: bytes = b"") -> str:
    found = hashlib.new(algorithm, head, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()
