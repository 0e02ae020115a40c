"""The API server's own record of writes: the only witness for 'nothing was written'."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPERATOR_AGENTS = ("aiapp-operator", "kopf")
_OPERATOR = re.compile(b'"userAgent":"(aiapp-operator|kopf)')
_LONGEST_LINE = 1024 * 1024


@dataclass(frozen=True)
class Write:
    """One write: who, what, and how it was answered."""

    agent: str
    verb: str
    kind: str
    namespace: str
    name: str
    status: int


class AuditLog:
    """The audit log of one API server, read from a mark on."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def mark(self) -> int:
        """Where the last whole line ends now."""
        size = self._path.stat().st_size
        with self._path.open("rb") as log:
            log.seek(max(0, size - _LONGEST_LINE))
            tail = log.read(size - log.tell())
        return size - (len(tail) - (tail.rfind(b"\n") + 1))

    def operator_writes(self, since: int, namespace: str) -> list[Write]:
        """What operators wrote into a namespace after a mark, Leases not counted."""
        with self._path.open("rb") as log:
            log.seek(since)
            lines = log.read().split(b"\n")[:-1]
        place = f'"namespace":"{namespace}"'.encode()
        # Most lines are controllers' and need not be parsed.
        writes = (_write(json.loads(line)) for line in lines if place in line and _OPERATOR.search(line))
        return [write for write in writes if write.kind != "leases" and write.agent.startswith(OPERATOR_AGENTS)]


def _write(entry: dict[str, Any]) -> Write:
    target = entry.get("objectRef") or {}
    kind = str(target.get("resource", ""))
    if target.get("subresource"):
        kind = f"{kind}/{target['subresource']}"
    return Write(
        agent=str(entry.get("userAgent", "")),
        verb=str(entry.get("verb", "")),
        kind=kind,
        namespace=str(target.get("namespace", "")),
        name=str(target.get("name", "")),
        status=int((entry.get("responseStatus") or {}).get("code", 0)),
    )
