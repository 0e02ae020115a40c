import pytest

from aiapp_operator.status.redact import MAX_LINE, last_line, redact

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://aiapp:hunter2@db:5432/aiapp refused", "postgresql://[redacted]@db:5432/aiapp refused"),
        ("redis://:hunter2@r:6379", "redis://[redacted]@r:6379"),
        ("Authorization: Bearer abcdef123456", "Authorization: [redacted] [redacted]"),
        ("401 for Bearer abcdef123456.xyz", "401 for Bearer [redacted]"),
        ("key sk-proj-abcdefgh12345678 is wrong", "key [redacted] is wrong"),
        ("password=hunter2, user=x", "password=[redacted], user=x"),
        ('{"api_key": "hunter2"}', '{"api_key": [redacted]}'),
        ("token hf_abcdefghijk", "token [redacted]"),
        ("jwt eyJhbGciOiJI.eyJzdWIi.sig", "jwt [redacted]"),
        ("hash 0123456789abcdef0123456789abcdef", "hash [redacted]"),
        ("2024-01-02 03:04:05,678 ERROR down", "ERROR down"),
        ("2024-01-02T03:04:05Z ERROR down", "ERROR down"),
        ("connect to 10.96.3.4:5432 failed", "connect to (address):5432 failed"),
        ("\x1b[31mred\x1b[0m\tand\nnew line", "red and new line"),
        ("worker[123]: gone", "worker: gone"),
        ("nothing to hide in a sentence of ordinary length", "nothing to hide in a sentence of ordinary length"),
        ("path /usr/lib/postgresql/17/bin/initdb", "path /usr/lib/postgresql/17/bin/initdb"),
    ],
)
def test_redact(text, expected):
    assert redact(text) == expected


def test_long_lines_are_cut():
    assert len(redact("word " * 500)) == MAX_LINE


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", ""),
        ("one\ntwo\n\n", "two"),
        ("FATAL: password authentication failed\nDETAIL: hint\n", "FATAL: password authentication failed"),
        ("Traceback\n  File x\nValueError: bad\n", "ValueError: bad"),
        ("aiapp: Secret x is missing\nbye", "aiapp: Secret x is missing"),
    ],
)
def test_the_line_that_tells_most(log, expected):
    assert last_line(log) == expected
