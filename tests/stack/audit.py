"""The API server's own record of writes: the only witness for 'nothing was written'."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPERATOR_AGENTS = ("aiapp-operator", "kopf")


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
        """Where the log ends now."""
        return self._path.stat().st_size

    def writes(self, since: int) -> list[Write]:
        """All writes after a mark."""
        with self._path.open("rb") as log:
            log.seek(since)
            lines = log.read().splitlines()
        return [_write(json.loads(line)) for line in lines if line.endswith(b"}")]

    def operator_writes(self, since: int, namespace: str) -> list[Write]:
        """What operators wrote into a namespace, Leases not counted."""
        return [
            write
            for write in self.writes(since)
            if write.namespace == namespace and write.kind != "leases" and write.agent.startswith(OPERATOR_AGENTS)
        ]


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
