"""What goes wrong with backups, each against the real thing: no backup is ever offered that is not whole."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import psycopg
import pytest

from aiapp_service.backup import create, layout
from aiapp_service.backup.drill import DRILL_LOCK
from aiapp_service.backup.roles import END_SECONDS
from aiapp_service.storage import objects
from tests.integration.servers.objects import ObjectServer, object_server
from tests.integration.service.backup.conftest import APP, Bed, environment
from tests.stack.wait import wait_until


def _grow(bed: Bed, mebibytes: int = 40) -> None:
    """Bytes that do not compress."""
    bed.sql("CREATE TABLE bulk (data bytea)")
    bed.sql("ALTER TABLE bulk ALTER data SET STORAGE EXTERNAL")
    rows = mebibytes * 16
    noise = "(SELECT string_agg(sha256((i::text || j)::bytea), '') FROM generate_series(1, 2048) j)"
    bed.sql(f"INSERT INTO bulk SELECT {noise} FROM generate_series(1, {rows}) i")  # noqa: S608  # of the test's own


def _backup_path(bed: Bed, name: str, part: str = "dump") -> Path:
    return bed.objects.path(f"{APP}/backups/{name}/{part}")


def test_flipped_byte_turns_the_drill_red(bed: Bed) -> None:
    name = bed.run("backup").document["backup"]["name"]
    path = _backup_path(bed, name)
    whole = path.read_bytes()
    for place in (len(whole) // 2, len(whole) - 1, 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x40
        path.write_bytes(damaged)
        drill = bed.run("verify-restore")
        assert drill.code == 1
        assert "its SHA-256 is not the one in its manifest" in drill.result
        there = bed.empty_database(f"at_{place}")
        assert bed.run("restore", url=bed.url(there)).code == 1
        assert bed.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", there) == [(0,)]
    path.write_bytes(whole[:-100])
    assert "bytes instead of" in bed.run("verify-restore").result
    assert bed.scratch_databases() == []
    assert bed.backups()[0]["verified"] is False


def test_dump_that_lacks_a_row_turns_the_drill_red(bed: Bed) -> None:
    """The dump is whole, and yet not what the manifest says: that is what tables are compared for."""
    name = bed.run("backup").document["backup"]["name"]
    path = _backup_path(bed, name, "manifest.json")
    manifest = json.loads(path.read_text())
    (odd,) = (table for table in manifest["tables"] if table["name"] == "Odd one.T")
    odd["rows"] += 1
    (parts,) = (table for table in manifest["tables"] if table["name"] == "public.parts_1")
    parts["checksum"] = "0" * 32
    path.write_text(json.dumps(manifest))
    drill = bed.run("verify-restore")
    assert "Odd one.T has 502 rows instead of 503; public.parts_1 has other content" in drill.result
    path.write_text("{")
    assert f"the manifest of backup {name} is damaged" in bed.run("verify-restore").result


def test_store_that_is_down_or_refuses_is_said(bed: Bed) -> None:
    bed.objects.tell_key("AKIANOBODYNOBODY", "canary-of-a-secret")
    refused = bed.run("backup")
    assert refused.code == 1
    assert "credentialsSecretRef" in refused.result
    assert "canary-of-a-secret" not in refused.result + refused.output
    bed.objects.server.stop()
    down = bed.run("backup")
    assert down.code == 1
    assert "does not answer" in down.result


def test_store_that_goes_away_meanwhile_leaves_no_backup(bed: Bed) -> None:
    _grow(bed)
    process = subprocess.Popen(
        bed.command("backup"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        wait_until("parts of an upload", lambda: bool(bed.objects.parts()), seconds=30)
        bed.objects.server.stop(signal.SIGKILL)
        output, _ = process.communicate(timeout=50)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1, output
    bed.objects.server.start()
    assert not [backup for backup in bed.backups() if backup["complete"]]
    assert "there is no backup" in bed.run("verify-restore").result


@pytest.mark.parametrize(
    ("role", "hold"),
    [("backup", "LOCK TABLE held"), ("verify-restore", f"SELECT pg_advisory_xact_lock({DRILL_LOCK})")],
)
def test_told_to_end_it_ends_soon_and_leaves_nothing(bed: Bed, role: str, hold: str) -> None:
    """The first in the midst of its work, the second while it waits for its turn."""
    good = bed.run("backup").document["backup"]["name"]
    bed.sql("CREATE TABLE held (x int)")
    waits = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"
    with psycopg.connect(bed.url()) as holder:
        holder.execute(hold)
        process = subprocess.Popen(
            bed.command(role), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            wait_until("it waits", lambda: bed.sql(waits) == [(True,)], seconds=30)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 128 + signal.SIGTERM, output
        assert time.monotonic() - began < END_SECONDS + 5
    assert [backup["name"] for backup in bed.backups() if backup["complete"]] == [good]
    assert bed.scratch_databases() == []


def test_killed_backup_is_not_offered_and_goes_a_day_later(bed: Bed) -> None:
    good = bed.run("backup").document["backup"]["name"]
    _grow(bed)
    process = subprocess.Popen(bed.command("backup"), env=environment(), stdout=subprocess.DEVNULL)
    wait_until("parts of an upload", lambda: bool(bed.objects.parts()), seconds=30)
    process.kill()
    process.wait()
    assert [backup["name"] for backup in bed.backups()] == [good]
    assert bed.run("verify-restore").document["verified"]["backup"] == good
    # Older than a day: an upload in parts, and a dump whose manifest never came.
    for file in bed.objects.home.rglob("*"):
        if ".sgwtmp" in file.parts:
            os.utime(file, (time.time() - 2 * 86400,) * 2)
    orphan, young = "2020-01-01T00-00-00Z", layout.name_of(datetime.now(UTC))
    for name in (orphan, young):
        _backup_path(bed, name).parent.mkdir(parents=True)
        _backup_path(bed, name).write_bytes(b"half")
    bed.sql("DROP TABLE bulk")
    done = bed.run("backup", "--retention", "14d")
    assert done.document["backup"]["removed"] == 1
    assert not _backup_path(bed, orphan).exists()
    assert _backup_path(bed, young).exists(), "it may be under way"


def test_retention_keeps_the_last_good_ones(bed: Bed) -> None:
    """Old ones go, the newest that a drill has restored stays, and the newest of all."""
    name = bed.run("backup").document["backup"]["name"]
    assert bed.run("verify-restore").code == 0
    folder = _backup_path(bed, name).parent
    names = ["2020-01-01T00-00-00Z", "2020-01-02T00-00-00Z", "2020-01-03T00-00-00Z"]
    for old in names:
        shutil.copytree(folder, folder.parent / old)
    (folder.parent / names[2] / "verified.json").unlink()
    shutil.rmtree(folder)
    new = bed.run("backup", "--retention", "1d").document["backup"]
    assert new["removed"] == 2
    assert [backup["name"] for backup in bed.backups()] == [new["name"], names[1]]


class _Late(datetime):
    """A year ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + timedelta(days=366)


def test_clock_of_a_machine_does_not_matter(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store says what time it is: a machine a year ahead neither renames nor removes anything."""
    first = bed.run("backup").document["backup"]["name"]
    for module in (create, objects):
        monkeypatch.setattr(module, "datetime", _Late)
    second = bed.run("backup", "--retention", "14d")
    assert second.code == 0, second.output
    backup = second.document["backup"]
    assert backup["removed"] == 0
    assert backup["name"][:4] == first[:4]
    assert [found["name"] for found in bed.backups()] == [backup["name"], first]


def test_killed_drill_leaves_a_database_that_the_next_one_drops(bed: Bed) -> None:
    assert bed.run("backup").code == 0
    left = "aiapp_verify_0123456789ab"
    bed.sql(f"CREATE DATABASE {left}", "postgres")
    assert bed.run("verify-restore").code == 0
    assert bed.scratch_databases() == []


def test_drill_that_would_fill_the_disk_is_not_begun(bed: Bed) -> None:
    assert bed.run("backup").code == 0
    drill = bed.run("verify-restore", "--volume-bytes", str(16 << 20))
    assert drill.code == 1
    assert "no room for a restore drill" in drill.result
    assert "storage.size" in drill.result
    assert bed.run("verify-restore", "--volume-bytes", str(64 << 30)).code == 0


@pytest.fixture
def small_store(tmp_path: Path) -> Iterator[ObjectServer]:
    """A store whose disk has 24 MiB."""
    home = tmp_path / "small"
    with object_server(home) as server:
        data = home / "data" / "uploads"
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", data], check=True)
        try:
            yield server
        finally:
            server.server.stop()
            subprocess.run(["umount", data], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_full_disk_of_the_store_leaves_no_backup(bed: Bed, small_store: ObjectServer) -> None:
    bed.objects = small_store
    good = bed.run("backup").document["backup"]["name"]
    _grow(bed)
    full = bed.run("backup")
    assert full.code == 1
    assert "the object store" in full.result
    assert [backup["name"] for backup in bed.backups()] == [good]
    assert bed.run("verify-restore").code == 0
