"""Credentials as files, read again when they change: a Secret is rotated without a restart.

kubelet swaps a symbolic link under mounted Secrets; looking at the file's identity notices that.
"""

import hashlib
import hmac
import time
from pathlib import Path

RECHECK_SECONDS = 1.0

Identity = tuple[int, int, int]


def identity(path: Path) -> Identity | None:
    """What tells one content of a file from the next; None while there is no such file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


class SecretFile:
    """One value in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity: Identity | None = None
        self._value: str | None = None
        self._looked_at = float("-inf")

    def get(self) -> str | None:
        """The value now, without white space around it; None while there is no such file."""
        now = time.monotonic()
        if now - self._looked_at >= RECHECK_SECONDS:
            self._looked_at = now
            found = identity(self.path)
            if found != self._identity:
                self._identity, self._value = found, _read(self.path)
        return self._value


class KeyRing:
    """The keys of clients: a directory with a file for each, named like the client."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._identity: tuple[tuple[str, Identity | None], ...] | None = None
        self._clients: dict[bytes, str] = {}
        self._looked_at = float("-inf")

    def client_of(self, key: str) -> str | None:
        """Whose key this is; None: nobody's. Takes the same time whichever key it is."""
        self._refresh()
        given = _digest(key)
        found = None
        for digest, client in self._clients.items():
            if hmac.compare_digest(digest, given):
                found = client
        return found

    def __len__(self) -> int:
        self._refresh()
        return len(self._clients)

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < RECHECK_SECONDS:
            return
        self._looked_at = now
        files = self._files()
        found = tuple((path.name, identity(path)) for path in files)
        if found != self._identity:
            self._identity = found
            # An empty key would be everybody's.
            self._clients = {_digest(key): path.name for path in files if (key := _read(path))}

    def _files(self) -> list[Path]:
        try:
            # Names with a dot in front are kubelet's own.
            return sorted(p for p in self._directory.iterdir() if not p.name.startswith(".") and p.is_file())
        except OSError:
            return []


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
