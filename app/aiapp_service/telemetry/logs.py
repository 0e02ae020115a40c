"""Logs as JSON lines: a constant message, key and value for everything else; no prompt text, nothing secret."""

import asyncio
import json
import logging
import re
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import lru_cache
from typing import TextIO

import msgspec

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
# A record may have all that is its own here once more: looking for it among the rest takes longer than writing it.
FIELDS = "fields"
_HIDDEN = "[redacted]"
_SHORT = 64
# How long lines that nobody needs at once wait for others, to be written with one call of the system.
GATHER_SECONDS = 0.02
_MOST_WAITING = 500
_SECRETS = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@'\"]*@", re.IGNORECASE), rf"\1{_HIDDEN}@"),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\1 {_HIDDEN}"),
    (re.compile(r"\b(?:sk|pk|rk|hf|ghp|gho)[-_][A-Za-z0-9_-]{6,}"), _HIDDEN),
    (re.compile(r"\b((?:password|secret|token|api[_-]?key)[\"']?\s*[=:]\s*)[^\s,;}]+", re.IGNORECASE), rf"\1{_HIDDEN}"),
)
# Each of the patterns has one of these characters in all that it finds: most names and ids have none.
_SUSPICIOUS = re.compile(r"[\s:=_-]")


def without_secrets(text: str) -> str:
    """`text` without what looks like a credential."""
    if _SUSPICIOUS.search(text) is None:
        return text
    # Most of what is logged is said over and over: names of models, paths, methods.
    return _remembered(text) if len(text) <= _SHORT else _without_secrets(text)


def _without_secrets(text: str) -> str:
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


_remembered = lru_cache(maxsize=1024)(_without_secrets)
_slowly = json.JSONEncoder(default=lambda value: without_secrets(str(value)), ensure_ascii=False, separators=(",", ":"))
# The library knows more kinds of objects than JSON does, and would tell all that is in them.
_AS_THEY_ARE = frozenset((int, float, bool))


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for one record; texts are redacted."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
        }
        plain = True
        given = record.__dict__.get(FIELDS)
        if given is None:
            given = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        for key, value in given.items():
            if value is not None:
                if isinstance(value, str):
                    entry[key] = without_secrets(value)
                else:
                    entry[key] = value
                    plain = plain and type(value) in _AS_THEY_ARE
        if record.exc_info:
            entry["exception"] = without_secrets(self.formatException(record.exc_info))
        return _encoded(entry) if plain else _slowly.encode(entry)


def _encoded(entry: dict[str, object]) -> str:
    try:
        return msgspec.json.encode(entry).decode()
    except UnicodeEncodeError:
        # Half of a surrogate pair.
        return _slowly.encode(entry)


class GatheringHandler(logging.StreamHandler[TextIO]):
    """Writes many lines with one call of the system.

    Warnings and worse go out at once, with all that was said before them; so does everything without an event loop.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take in one record."""
        try:
            self._lines.append(self.format(record))
            if record.levelno >= logging.WARNING or len(self._lines) >= _MOST_WAITING:
                self.flush()
            elif len(self._lines) == 1:
                self._flush_soon()
        except Exception:  # noqa: BLE001  # as in logging itself: nothing fails because it cannot be logged
            self.handleError(record)

    def flush(self) -> None:
        """Write what waits."""
        with self.lock or nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("\n".join(lines) + "\n")
            super().flush()

    def _flush_soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            loop.call_later(GATHER_SECONDS, self.flush)


def set_up(level: str = "INFO") -> None:
    """Send everything that is logged to standard output."""
    # Not told, and not for nothing: the documented way to make records cheaper.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = GatheringHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
