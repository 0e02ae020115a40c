"""Files that are read again when they change: a ConfigMap is changed without a restart."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from aiapp_service.credentials import RECHECK_SECONDS, identity

log = logging.getLogger(__name__)

T = TypeVar("T")


class WatchedFile(Generic[T]):
    """What `parse`, which raises ValueError, makes of a file.

    Raises:
        OSError, ValueError: it cannot be read, or is wrong. Later on that changes nothing: the value stays.
    """

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self.path = path
        self._parse = parse
        self._looked_at = time.monotonic()
        self._identity = identity(path)
        self._value = parse(path.read_text(encoding="utf-8"))

    def get(self) -> T:
        """The value now."""
        now = time.monotonic()
        if now - self._looked_at >= RECHECK_SECONDS:
            self._looked_at = now
            self._refresh()
        return self._value

    def _refresh(self) -> None:
        found = identity(self.path)
        if found is None or found == self._identity:
            return
        self._identity = found
        try:
            self._value = self._parse(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            log.warning("file not taken in", extra={"file": str(self.path), "error": str(error)[:500]})
        else:
            log.info("file taken in", extra={"file": str(self.path)})
