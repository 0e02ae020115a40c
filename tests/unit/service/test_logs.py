"""Nothing secret gets into a log line."""

import json
import logging

import pytest

from aiapp_service.telemetry.logs import JsonFormatter

CANARY = "hunter2hunter2"


def line(message, *args, **extra):
    record = logging.makeLogRecord({"msg": message, "args": args, "name": "x", "levelname": "INFO", **extra})
    return JsonFormatter().format(record)


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://app:{CANARY}@db:5432/app",
        f"redis://:{CANARY}@cache",
        f"Authorization: Bearer {CANARY}",
        f"sk-{CANARY}",
        f"password={CANARY} host=db",
        f'{{"api_key": "{CANARY}"}}',
    ],
)
def test_secrets_are_hidden_wherever_they_stand(text):
    assert CANARY not in line(text)
    assert CANARY not in line("failed: %s", text)
    assert CANARY not in line("failed", error=text)
    assert CANARY not in line("failed", error=RuntimeError(text))
    error = RuntimeError(text)
    assert CANARY not in line("failed", exc_info=(RuntimeError, error, None))


def test_a_line_is_one_json_object():
    entry = json.loads(line("first\nsecond", status=200, client=None))
    assert entry["message"] == "first\nsecond"
    assert entry["status"] == 200
    assert "client" not in entry
