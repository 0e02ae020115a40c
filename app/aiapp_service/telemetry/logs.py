"""Logs as JSON lines: a constant message, key and value for everything else; no prompt text, nothing secret."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from functools import lru_cache

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_HIDDEN = "[redacted]"
_SHORT = 64
_SECRETS = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@'\"]*@", re.IGNORECASE), rf"\1{_HIDDEN}@"),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\1 {_HIDDEN}"),
    (re.compile(r"\b(?:sk|pk|rk|hf|ghp|gho)[-_][A-Za-z0-9_-]{6,}"), _HIDDEN),
    (re.compile(r"\b((?:password|secret|token|api[_-]?key)[\"']?\s*[=:]\s*)[^\s,;}]+", re.IGNORECASE), rf"\1{_HIDDEN}"),
)


def without_secrets(text: str) -> str:
    """`text` without what looks like a credential."""
    # Most of what is logged is said over and over: names of models, paths, methods.
    return _remembered(text) if len(text) <= _SHORT else _without_secrets(text)


def _without_secrets(text: str) -> str:
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


_remembered = lru_cache(maxsize=1024)(_without_secrets)
_encode = json.JSONEncoder(default=lambda value: without_secrets(str(value)), ensure_ascii=False).encode


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
        for key, value in record.__dict__.items():
            if key not in _STANDARD and value is not None:
                entry[key] = without_secrets(value) if isinstance(value, str) else value
        if record.exc_info:
            entry["exception"] = without_secrets(self.formatException(record.exc_info))
        return _encode(entry)


def set_up(level: str = "INFO") -> None:
    """Send everything that is logged to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
