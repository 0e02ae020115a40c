"""Files that are read again when they change: a ConfigMap is changed without a restart.

One that is missing or wrong keeps nothing else from working: what it said before stays in use, and where it never
said anything only what needs it is refused. /health and the log say so.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from aiapp_service.credentials import RECHECK_SECONDS, Identity, identity

log = logging.getLogger(__name__)

T = TypeVar("T")
_MISSING = "its file is missing"
_WRONG = "its file is wrong, the log says why"


class Unusable(Exception):
    """The file has never said anything that is of use. The message is fit for clients."""


class WatchedFile(Generic[T]):
    """What `parse`, which raises ValueError, makes of a file. `label` says what it is for.

    `detail` is why what it says now is not in use, for people who may see the file; empty while it is.
    """

    def __init__(self, label: str, path: Path, parse: Callable[[str], T]) -> None:
        self.path = path
        self.detail = ""
        self._label = label
        self._parse = parse
        self._problem = ""
        self._value: tuple[T] | None = None
        self._identity: Identity | None = None
        self._looked_at = time.monotonic()
        self._read(identity(path))

    def get(self) -> T:
        """The value now.

        Raises:
            Unusable: there is none.
        """
        self._look()
        if self._value is None:
            raise Unusable(f"{self._label} cannot be used: {self._problem}")
        return self._value[0]

    def problem(self) -> str:
        """What is wrong with it, without its content; empty where nothing is."""
        self._look()
        if not self._problem:
            return ""
        kept = "" if self._value is None else "; what it said before is in use"
        return f"{self._label}: {self._problem}{kept}"

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < RECHECK_SECONDS:
            return
        self._looked_at = now
        found = identity(self.path)
        if found != self._identity:
            self._read(found)

    def _read(self, found: Identity | None) -> None:
        self._identity = found
        is_first = self._value is None and not self._problem
        try:
            self._value = (self._parse(self.path.read_text(encoding="utf-8")),)
        except (OSError, ValueError) as error:
            self._problem = _MISSING if isinstance(error, FileNotFoundError) else _WRONG
            self.detail = f"{self._label}: {self.path}: {error}"
            log.warning("file not taken in", extra={"file": str(self.path), "error": str(error)[:500]})
        else:
            self._problem = self.detail = ""
            if not is_first:
                log.info("file taken in", extra={"file": str(self.path)})


class WatchedFiles:
    """All of one configuration. What `before`, those of the one before, know of a file stays known."""

    def __init__(self, before: "WatchedFiles | None" = None) -> None:
        self._before = {} if before is None else before.opened
        self.opened: dict[tuple[str, Path], WatchedFile[Any]] = {}

    def open(self, label: str, path: Path, parse: Callable[[str], T]) -> WatchedFile[T]:
        """The file at `path`, for what `label` says."""
        key = (label, path)
        file = self._before.get(key) or WatchedFile(label, path, parse)
        self.opened[key] = file
        return file

    def problems(self) -> list[str]:
        """What is wrong with any of them, without their content."""
        return [problem for file in self.opened.values() if (problem := file.problem())]

    def details(self) -> list[str]:
        """The same with the words of their parsers, for whoever runs a test of the files."""
        return [file.detail for file in self.opened.values() if file.detail]
