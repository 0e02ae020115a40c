"""Migrations are backward compatible by rule: the revision before serves on while they run, and after them.

squawk knows which statements lock a table for long or take away what somebody reads. A migration that has to do such
a thing says so: `accepted = {"rule": "why nobody is hurt"}`. See docs/development.md.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa
from alembic import op
from alembic.script import ScriptDirectory

from aiapp_service.db.migrate import MIGRATIONS
from tests.unit.service.migrations.offline import load, statements

SQUAWK = Path(sys.executable).parent / "squawk"
LEFT_OUT = {
    "require-lock-timeout": "set by aiapp_service.db.migrate for each migration",
    "require-statement-timeout": "a statement may take long as long as it locks nobody out",
    "prefer-robust-stmts": "each migration is one transaction: there is nothing half done",
    "prefer-bigint-over-int": "a matter of taste",
    "prefer-identity": "a matter of taste",
}
_BUILT = re.compile(r"CREATE (?:UNIQUE )?INDEX CONCURRENTLY (?:IF NOT EXISTS )?(\S+)")
FILES = sorted((MIGRATIONS / "versions").glob("[0-9]*.py"))


def broken(sql: str) -> dict[str, str]:
    """Rules that the statements break, each with squawk's words."""
    command = [SQUAWK, "--reporter=json", "--pg-version=13.0", f"--exclude={','.join(LEFT_OUT)}"]
    done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode in {0, 1}, done.stderr
    found = {entry["rule_name"]: f"line {entry['line'] + 1}: {entry['message']}" for entry in json.loads(done.stdout)}
    if "TRUNCATE" in sql.upper():
        found["ban-truncate"] = "rows of the revision before are gone"
    for built in _BUILT.finditer(sql):
        if f"DROP INDEX CONCURRENTLY IF EXISTS {built[1]};" not in sql[: built.start()]:
            found["drop-before-concurrent-creation"] = f"{built[1]}: killed half-way it is there, and is not valid"
    return found


def made_of(upgrade: object) -> str:
    module = ModuleType("migration")
    module.__dict__["upgrade"] = upgrade
    return statements(module)


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_migration_hurts_no_older_revision(file: Path) -> None:
    migration = load(file)
    accepted = getattr(migration, "accepted", {})
    found = broken(statements(migration))
    assert {rule: why for rule, why in found.items() if rule not in accepted} == {}
    assert accepted.keys() <= found.keys(), "accepts what it does not do"
    assert all(accepted.values()), "why?"


def test_migrations_are_one_chain() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert len(scripts.get_heads()) == 1
    assert len(list(scripts.walk_revisions())) == len(FILES)


def concurrently(*, drop_first: bool) -> None:
    with op.get_context().autocommit_block():
        if drop_first:
            op.drop_index("i", if_exists=True, postgresql_concurrently=True)
        op.create_index("i", "usage", ["backend"], postgresql_concurrently=True)


def text(name: str, **fields: object) -> sa.Column[str]:
    return sa.Column(name, sa.Text, **fields)


def new_table() -> None:
    op.create_table("fresh", text("id", primary_key=True), text("name", nullable=False))
    op.create_index("fresh_name", "fresh", ["name"])


@pytest.mark.parametrize(
    ("upgrade", "rule"),
    [
        (lambda: op.drop_column("usage", "backend"), "ban-drop-column"),
        (lambda: op.drop_table("usage"), "ban-drop-table"),
        (lambda: op.alter_column("usage", "backend", new_column_name="b"), "renaming-column"),
        (lambda: op.rename_table("usage", "ledger"), "renaming-table"),
        (lambda: op.add_column("usage", text("region", nullable=False)), "adding-required-field"),
        (lambda: op.alter_column("usage", "user_name", nullable=False), "adding-not-nullable-field"),
        (lambda: op.alter_column("usage", "backend", nullable=True), "ban-drop-not-null"),
        (lambda: op.alter_column("usage", "backend", server_default=None), "ban-drop-default"),
        (lambda: op.alter_column("usage", "cost_usd", type_=sa.Float), "changing-column-type"),
        (lambda: op.create_index("i", "usage", ["backend"]), "require-concurrent-index-creation"),
        (lambda: op.create_index("i", "usage", ["backend"], postgresql_concurrently=True), "drop-before"),
        (
            lambda: op.create_index("i", "usage", ["backend"], postgresql_concurrently=True),
            "ban-concurrent-index-creation-in-transaction",
        ),
        (lambda: concurrently(drop_first=False), "drop-before-concurrent-creation"),
        (lambda: op.create_unique_constraint("u", "usage", ["backend"]), "disallowed-unique-constraint"),
        (lambda: op.create_check_constraint("c", "usage", "length(backend) > 0"), "constraint-missing-not-valid"),
        (lambda: op.create_foreign_key("f", "usage", "users", ["tenant"], ["id"]), "adding-foreign-key-constraint"),
        (lambda: op.execute("TRUNCATE usage"), "ban-truncate"),
    ],
)
def test_what_would_hurt_is_refused(upgrade: object, rule: str) -> None:
    assert any(found.startswith(rule) for found in broken(made_of(upgrade)))


@pytest.mark.parametrize(
    "upgrade",
    [
        new_table,
        lambda: op.add_column("usage", text("region", nullable=False, server_default="eu")),
        lambda: op.add_column("usage", text("note", nullable=True)),
        lambda: concurrently(drop_first=True),
        lambda: op.create_check_constraint("c", "usage", "length(backend) > 0", postgresql_not_valid=True),
    ],
)
def test_what_expands_is_fine(upgrade: object) -> None:
    assert broken(made_of(upgrade)) == {}
