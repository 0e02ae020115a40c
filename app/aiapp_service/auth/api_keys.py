"""The API keys of all clients: a directory of key files, read again when it changes."""

import logging
import time
from pathlib import Path

from aiapp_service.auth import key_file
from aiapp_service.auth.key_file import Client, WrongKeyFile
from aiapp_service.credentials import Identity, identity

log = logging.getLogger(__name__)

RECHECK_SECONDS = 1.0
MOST_FILE_BYTES = 64 * 1024


class KeyRing:
    """The keys of clients: a directory with a file for each, named like the client."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._identity: tuple[tuple[str, Identity | None], ...] | None = None
        self._clients: dict[bytes, Client] = {}
        self._looked_at = float("-inf")

    def client_of(self, digest: bytes) -> Client | None:
        """Whose key has this SHA-256; None: nobody's.

        The time it takes tells nothing of a key: what is compared are digests, and of them hashes that are
        salted anew in each process. That holds for any number of keys, at the cost of one look-up.
        """
        self._refresh()
        return self._clients.get(digest)

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
            self._clients = _read_all(files)

    def _files(self) -> list[Path]:
        try:
            # Names with a dot in front are kubelet's own.
            return sorted(p for p in self.directory.iterdir() if not p.name.startswith(".") and p.is_file())
        except OSError:
            return []


def _read_all(files: list[Path]) -> dict[bytes, Client]:
    clients: dict[bytes, Client] = {}
    for path in files:
        try:
            digest, client = _read(path)
        except WrongKeyFile as error:
            log.warning("key file is wrong and lets nobody in", extra={"file": path.name, "error": str(error)})
            continue
        other = clients.setdefault(digest, client)
        if other is not client:
            log.warning("key is another client's already", extra={"file": path.name, "other": other.name})
    return clients


def _read(path: Path) -> tuple[bytes, Client]:
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise WrongKeyFile(f"the file is larger than {MOST_FILE_BYTES} bytes")
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise WrongKeyFile("the file cannot be read") from error
    except UnicodeDecodeError as error:
        raise WrongKeyFile("the file is not UTF-8") from error
    if not content.strip():
        # An empty key would be everybody's.
        raise WrongKeyFile("the file is empty")
    return key_file.read(path.name, content)
