"""`aiapp backup`: asks by the annotation, follows the Job, says how it ended."""

from typing import Any

import pytest

from aiapp_operator.cli import backups
from aiapp_operator.kube.api_errors import NotFound

LAST = {"name": "2026-11-24T02-00-00Z", "size": 10}
FAILED = {"type": "BackupVerified", "status": "False", "reason": "BackupFailed", "message": "the store is down"}


class Cluster:
    """An AIApp whose operator does what the annotation asks for, with this end."""

    def __init__(self, spec: dict[str, Any], end: str) -> None:
        self.spec, self.end = spec, end
        self.annotations: dict[str, str] = {}
        self.looks = 0

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        if kind == "AIApp":
            done = self.looks > 1
            status = {"database": {"lastBackup": LAST} if done and self.end == "Complete" else {}}
            conditions = [FAILED] if done and self.end == "Failed" else []
            return {"spec": self.spec, "status": {**status, "conditions": conditions}}
        self.looks += 1
        if self.looks == 1:
            raise NotFound(404, "NotFound", name)
        return {"status": {"conditions": [{"type": self.end, "status": "True"}]}}

    async def annotate(self, kind: str, namespace: str, name: str, annotations: dict[str, str]) -> None:
        self.annotations |= annotations


@pytest.mark.parametrize(
    ("end", "code", "words"), [("Complete", 0, LAST["name"]), ("Failed", 1, "BackupFailed: the store is down")]
)
async def test_run_is_followed_to_its_end(monkeypatch, capsys, end: str, code: int, words: str) -> None:
    monkeypatch.setattr(backups, "_LOOK_SECONDS", 0)
    cluster = Cluster({"postgres": {"backup": {"schedule": "0 2 * * *"}}}, end)
    assert await backups._ask(cluster, backups.BACKUP, "shop", "team", 60) == code
    assert list(cluster.annotations) == ["aiapp.dev/backup-now"]
    said = capsys.readouterr()
    assert "Job shop-backup-" in said.out
    assert "waits for the operator" in said.out
    assert words in said.out + said.err


async def test_app_without_backups_is_not_touched(capsys) -> None:
    cluster = Cluster({"postgres": {"managed": {}}}, "Complete")
    assert await backups._ask(cluster, backups.BACKUP, "shop", "team", 60) == 1
    assert cluster.annotations == {}
    assert "no spec.postgres.backup" in capsys.readouterr().err
