"""Logs as JSON lines: a constant message, key and value for everything else, nothing secret."""

import json
import logging
import sys
from datetime import UTC, datetime

from aiapp_operator.status.redact import without_secrets

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
# kopf puts whole objects into its records: they may hold anything.
_DROPPED = frozenset({"k8s_ref", "k8s_skip", "settings"})


class JsonFormatter(logging.Formatter):
    """One JSON object a line; texts are redacted."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for one record."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
        }
        for key, value in record.__dict__.items():
            if key not in _STANDARD and key not in _DROPPED:
                entry[key] = without_secrets(value) if isinstance(value, str) else value
        if record.exc_info:
            entry["exception"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(entry, default=lambda value: without_secrets(str(value)), ensure_ascii=False)


def set_up(level: str) -> None:
    """Send everything that is logged to standard output, once."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # Its debug and info lines say what we say better, with the object's body in between.
    logging.getLogger("kopf").setLevel(max(logging.WARNING, root.level))
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
