"""Two versions of the service with one database: the newer one has migrated it, the older one serves on."""

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import yaml

import aiapp_service
from aiapp_service.db.migrate import latest
from tests.integration.servers.processes import free_port
from tests.stack.wait import wait_until

# All that a migration may do to tables that an older version uses.
_EXPAND = f'''"""What a later version may bring."""

import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{latest()}"


def upgrade() -> None:
    op.create_table("later", sa.Column("id", sa.BigInteger, primary_key=True))
    op.add_column("usage", sa.Column("region", sa.Text, nullable=False, server_default="eu"))
    op.add_column("usage", sa.Column("note", sa.Text, nullable=True))
    with op.get_context().autocommit_block():
        op.drop_index("usage_by_region", if_exists=True, postgresql_concurrently=True)
        op.create_index("usage_by_region", "usage", ["region"], postgresql_concurrently=True)
'''
PACKAGE = Path(aiapp_service.__file__).parent


@pytest.fixture
def newer(tmp_path):
    """Where a later version of the service can be imported from."""
    root = tmp_path / "newer"
    package = shutil.copytree(PACKAGE, root / "aiapp_service", ignore=shutil.ignore_patterns("__pycache__"))
    (package / "db" / "migrations" / "versions" / "9001_later.py").write_text(_EXPAND)
    return root


@pytest.fixture
def database(postgres_server):
    return postgres_server.new_database("schema_versions")


@pytest.fixture
def configuration(database, tmp_path):
    (tmp_path / "url").write_text(database)
    file = tmp_path / "config.yaml"
    document = {
        "auth": {"anonymous": True},
        "providers": [{"name": "fake", "kind": "Mock"}],
        "models": [{"name": "chat", "backends": [{"provider": "fake", "model": "mock-chat"}]}],
        "database": {"urlFile": str(tmp_path / "url")},
    }
    file.write_text(yaml.safe_dump(document))
    return file


def environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root)}


def migrated(root: Path, tmp_path: Path) -> str:
    command = [sys.executable, "-m", "aiapp_service", "migrate", "--url-file", str(tmp_path / "url")]
    done = subprocess.run(command, env=environment(root), capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["revision"]


@contextmanager
def api(root: Path, configuration: Path):
    """Its URL, while it runs."""
    port = free_port()
    command = [sys.executable, "-m", "aiapp_service", "api", "--config", str(configuration), "--port", str(port)]
    process = subprocess.Popen(command, env=environment(root), stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until("API ready", lambda: process.poll() is not None or answer(url, "/readyz") is not None, seconds=30)
        assert process.poll() is None
        yield url
    finally:
        process.terminate()
        process.wait(20)


def answer(url: str, path: str, body: object = None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.read()
    except (urllib.error.HTTPError, OSError):
        return None


def chat(url: str) -> None:
    assert answer(url, "/v1/chat/completions", {"model": "chat", "messages": [{"role": "user", "content": "hi"}]})


def rows(database: str, where: str = "true") -> int:
    with psycopg.connect(database) as connection:
        return connection.execute(f"SELECT count(*) FROM usage WHERE {where}").fetchone()[0]  # noqa: S608  # our own words


def test_older_version_serves_on_with_the_schema_of_a_newer_one(newer, database, configuration, tmp_path):
    older = PACKAGE.parent
    assert migrated(older, tmp_path) == latest()
    with api(older, configuration) as first:
        chat(first)
        wait_until("its row", lambda: rows(database) == 1, seconds=20)
        assert migrated(newer, tmp_path) == "9001"
        with api(newer, configuration) as second:
            for url in (first, second, first, second):
                chat(url)
            wait_until("rows of both", lambda: rows(database) == 5, seconds=20)
            for url in (first, second):
                usage = json.loads(answer(url, "/v1/usage"))
                assert sum(entry["requests"] for entry in usage["data"]) == 5
                assert json.loads(answer(url, "/health"))["checks"]["database"]["status"] == "ok"
    assert rows(database, "region = 'eu' AND note IS NULL") == 5
    # A rollback to the older version: its migration has nothing to do, and it starts.
    assert migrated(older, tmp_path) == "9001"
    with api(older, configuration) as again:
        chat(again)
        wait_until("one more", lambda: rows(database) == 6, seconds=20)
