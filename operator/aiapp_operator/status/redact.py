"""Log lines and messages of others, made fit for a status: without secrets, and the same for the same cause.

A status with times, addresses or generated names never settles: each would be a write, and an event.
"""

import re

MAX_LINE = 300
REDACTED = "[redacted]"

_SECRETS = (
    # Credentials in URLs: scheme://user:password@host
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@'\"]*@", re.IGNORECASE), rf"\1{REDACTED}@"),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\1 {REDACTED}"),
    (
        re.compile(
            r"\b([\w-]*(?:password|passwd|pwd|secret|token|api[_-]?key|apikey|authorization)[\w-]*[\"']?\s*[=:]\s*)"
            r"(?!\[redacted\])(\"[^\"]*\"|'[^']*'|[^\s,;}]+)",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"\b(?:sk|pk|rk|hf|ghp|gho|xox[abp])[-_][A-Za-z0-9_-]{6,}"), REDACTED),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)*"), REDACTED),
    # Anything long and random: hexadecimal digits, or base64 that mixes letters and digits.
    (re.compile(r"\b[0-9a-fA-F]{32,}\b"), REDACTED),
    (re.compile(r"(?=[A-Za-z0-9+/_=-]*[0-9])(?=[A-Za-z0-9+/_=-]*[A-Za-z])[A-Za-z0-9+_=]{32,}"), REDACTED),
)
_UNSTABLE = (
    (re.compile(r"\x1b\[[0-9;]*[A-Za-z]"), ""),
    (re.compile(r"[\x00-\x08\x0b-\x1f\x7f]"), " "),
    (
        re.compile(r"\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| ?UTC| ?[+-]\d\d:?\d\d)?\]?:? ?"),
        "",
    ),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "(address)"),
    (re.compile(r"\b0x[0-9a-fA-F]{6,}\b"), "(address)"),
    (re.compile(r"(?<=\S)\[\d+\](?=:)|^\[\d+\]\s*|\bpid[ =]\d+\b|\(\s*PID \d+\)"), ""),
)
_TELLING = re.compile(
    r"error|fatal|panic|exception|fail|cannot|could not|denied|refused|invalid|not found|missing|aiapp:",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """`text` as it is but for secrets: for logs, where times and line breaks are wanted."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def redact(text: str) -> str:
    """`text` on one line, without secrets, times, addresses; at most MAX_LINE characters."""
    for pattern, replacement in _UNSTABLE:
        text = pattern.sub(replacement, text)
    text = without_secrets(text)
    text = " ".join(text.split())
    return text if len(text) <= MAX_LINE else f"{text[: MAX_LINE - 3]}..."


def last_line(log: str) -> str:
    """The line of a log that tells best why it ended, redacted: the last one that names a failure, else the last."""
    lines = [line for line in log.splitlines() if line.strip()]
    if not lines:
        return ""
    return redact(next((line for line in reversed(lines) if _TELLING.search(line)), lines[-1]))
