"""Backups against a real PostgreSQL and a real S3 server: made, proven, brought back."""

import json
import threading
from pathlib import Path

import psycopg
import pytest
from pyrage import decrypt, x25519

from aiapp_service.backup.snapshot import connect, wait_for_turn
from aiapp_service.db.connect import read_url
from aiapp_service.db.migrate import LOCK, migrate
from tests.integration.service.backup.conftest import APP, PASSWORD, Bed


def _identity(folder: Path) -> tuple[str, Path]:
    identity = x25519.Identity.generate()
    file = folder / "identity"
    file.write_text(f"# created by age-keygen\n{identity}\n")
    return str(identity.to_public()), file


def _manifest(bed: Bed, name: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(bed.objects.path(f"{APP}/backups/{name}/manifest.json").read_text())
    return document


ODD = 'SELECT (o.*)::text FROM "Odd one"."T" o ORDER BY 1'


def test_backup_is_stored_described_and_proven(bed: Bed) -> None:
    made = bed.run("backup")
    assert made.code == 0, made.output
    backup = made.document["backup"]
    manifest = _manifest(bed, backup["name"])
    dump = bed.objects.path(f"{APP}/backups/{backup['name']}/dump").read_bytes()
    assert dump.startswith(b"PGDMP")
    assert manifest["dump"] == {**manifest["dump"], "size": len(dump), "encrypted": False}
    rows = {table["name"]: table["rows"] for table in manifest["tables"]}
    assert {name: count for name, count in rows.items() if count} == {
        "Odd one.T": 502,
        "public.alembic_version": 1,
        "public.parts_1": 2,
    }
    assert {"public.usage", "public.users", "public.files", "public.batches"} <= rows.keys(), "empty tables too"
    proven = bed.run("verify-restore")
    assert proven.code == 0, proven.output
    verified = proven.document["verified"]
    assert (verified["backup"], verified["rows"], verified["size"]) == (backup["name"], 505, len(dump))
    assert bed.scratch_databases() == []
    assert bed.backups() == [{"name": backup["name"], "size": len(dump), "complete": True, "verified": True}]


def test_restored_database_is_identical_and_is_restored_once(bed: Bed) -> None:
    assert bed.run("backup").code == 0
    there = bed.empty_database("new")
    restored = bed.run("restore", url=bed.url(there))
    assert restored.code == 0, restored.output
    assert bed.sql(ODD, there) == bed.sql(ODD)
    assert bed.sql("SELECT obj_description('usage'::regclass)", there) == [("what clients have used",)]
    owner = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert bed.sql(owner, there) == [("aiapp",)], "owners are as they were"
    bed.sql("DELETE FROM parts", there)
    again = bed.run("restore", url=bed.url(there))
    assert again.document["restored"]["again"] is True
    assert bed.sql("SELECT count(*) FROM parts", there) == [(0,)], "what has changed since stays"
    # The migrations of the service go on from there.
    file = bed.folder / "restored-url"
    file.write_text(bed.server.url(there))
    assert migrate(file) == 0


def test_role_without_rights_restores_what_it_can_own(bed: Bed) -> None:
    """As with an external database: no superuser, other roles."""
    owner_url = bed.server.url(bed.database)
    assert bed.run("backup", url=owner_url).code == 0
    there = bed.empty_database("new")
    restored = bed.run("restore", url=bed.server.url(there))
    assert restored.code == 0, restored.output
    assert bed.sql(ODD, there) == bed.sql(ODD)
    drill = bed.run("verify-restore", url=owner_url)
    assert drill.code == 1
    assert "grant it CREATEDB" in drill.result


@pytest.mark.parametrize("mark", ["", "COMMENT ON DATABASE {} IS 'aiapp: restoring shop/2020-01-01T00-00-00Z'"])
def test_database_that_is_not_empty_is_left_alone(bed: Bed, mark: str) -> None:
    assert bed.run("backup").code == 0
    there = bed.empty_database("used")
    bed.sql("CREATE TABLE precious (word text)", there)
    if mark:
        bed.sql(mark.format(f'"{there}"'), "postgres")
    refused = bed.run("restore", url=bed.url(there))
    assert refused.code == 1
    assert "restore" in refused.result
    assert bed.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", there) == [(1,)]


def test_restore_that_was_killed_before_it_said_so_is_taken_for_done(bed: Bed) -> None:
    name = bed.run("backup").document["backup"]["name"]
    there = bed.empty_database("half")
    assert bed.run("restore", url=bed.url(there)).code == 0
    bed.sql(f"COMMENT ON DATABASE \"{there}\" IS 'mine\naiapp: restoring {APP}/{name}'", "postgres")
    done = bed.run("restore", url=bed.url(there))
    assert done.code == 0, done.output
    mine = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    comment = bed.sql(mine, there)
    assert comment == [(f"mine\naiapp: restored {APP}/{name}",)]


def test_wrong_name_lists_what_there_is(bed: Bed) -> None:
    first = bed.run("backup").document["backup"]["name"]
    second = bed.run("backup").document["backup"]["name"]
    assert first < second
    there = bed.empty_database("new")
    wrong = bed.run("restore", "--backup", "yesterday", url=bed.url(there))
    assert wrong.code == 1
    assert wrong.result == f"restore failed: there is no backup yesterday of {APP}; there are: {second}, {first}"
    nothing = bed.run("restore", url=bed.url(there), app="nobody")
    assert nothing.result == "restore failed: there is no backup of nobody in the object store"


def test_encrypted_backup_opens_for_its_recipients_only(bed: Bed) -> None:
    recipient, identity = _identity(bed.folder)
    name = bed.run("backup", "--recipient", recipient).document["backup"]["name"]
    stored = bed.objects.path(f"{APP}/backups/{name}/dump").read_bytes()
    assert stored.startswith(b"age-encryption.org/v1")
    plain = decrypt(stored, [x25519.Identity.from_str(identity.read_text().splitlines()[1])])
    assert plain.startswith(b"PGDMP"), "age and pg_restore are all that a restore by hand needs"
    assert bed.run("verify-restore", "--identity-file", str(identity)).code == 0
    there = bed.empty_database("new")
    without = bed.run("restore", url=bed.url(there))
    assert "identity is needed" in without.result
    other = bed.folder / "other"
    other.write_text(str(x25519.Identity.generate()))
    stranger = bed.run("restore", "--identity-file", str(other), url=bed.url(there))
    assert "not one that this backup was encrypted for" in stranger.result
    assert bed.run("restore", "--identity-file", str(identity), url=bed.url(there)).code == 0
    assert bed.sql(ODD, there) == bed.sql(ODD)
    wrong = bed.run("backup", "--recipient", "age1nonsense")
    assert "not a public age key" in wrong.result


def test_dump_and_manifest_are_of_one_moment(bed: Bed) -> None:
    """Rows come and go all the while; the drill still finds what the manifest says."""
    stop = threading.Event()

    def write() -> None:
        with psycopg.connect(bed.url(), autocommit=True) as connection:
            number = 0
            while not stop.is_set():
                number += 1
                connection.execute("INSERT INTO parts VALUES (5, %s)", (f"row {number}",))
                connection.execute("DELETE FROM parts WHERE words = %s", (f"row {number - 3}",))

    bed.sql("INSERT INTO parts SELECT 6, repeat('x', 500) FROM generate_series(1, 20000)")
    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert bed.run("backup").code == 0
    finally:
        stop.set()
        writer.join()
    proven = bed.run("verify-restore")
    assert proven.code == 0, proven.output


def test_migration_waits_for_the_backup_and_backup_for_the_migration(bed: Bed) -> None:
    file = bed.folder / "turn"
    file.write_text(bed.url())
    with connect(read_url(file)) as backup, psycopg.connect(bed.url(), autocommit=True) as migration:
        wait_for_turn(backup)
        assert migration.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone() == (False,)


def test_nothing_secret_is_said(bed: Bed) -> None:
    wrong = bed.run("backup", url=bed.url(password="wrong-canary"))
    assert wrong.code == 1
    assert "password authentication failed" in wrong.result
    good = bed.run("backup")
    for said in (wrong.result + wrong.output, good.result + good.output):
        assert "wrong-canary" not in said
        assert PASSWORD not in said
