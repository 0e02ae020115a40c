"""The start script and the probes of managed PostgreSQL, with a real PostgreSQL."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from rich.console import Console

from tests import golden
from tests.cluster.debian import SERVER_PACKAGES, ensure
from tests.integration.operator.containers import Container, free_port
from tests.stack.wait import wait_until

DISK = 300 * 1024**2
PASSWORD = "first'pass\\word"
MOMENTS = ("pgdata.new", "pgdata.new/PG_VERSION", "pgdata.new/postmaster.pid", "pgdata", "pgdata/postmaster.pid")


def extension() -> str:
    """pgvector where the distribution has it, else one that comes with PostgreSQL."""
    return "vector" if list(Path("/usr/share/postgresql").glob("*/extension/vector.control")) else "pg_trgm"


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    ensure(SERVER_PACKAGES, Console(stderr=True))


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    yield from postgres_container(tmp_path)


def postgres_container(folder: Path) -> Iterator[Container]:
    """The container of the managed PostgreSQL, below `folder`; killed in the end."""
    children = golden.children(dict(golden.apps())["minimal"])
    stateful_set = next(
        c for c in children if c["kind"] == "StatefulSet" and c["metadata"]["name"].endswith("postgres")
    )
    port = free_port()
    made = Container(
        stateful_set["spec"]["template"]["spec"]["containers"][0],
        folder,
        {
            "PGDATA": str(folder / "data" / "pgdata"),
            "PG_RUN": str(folder / "run"),
            "PG_EXTENSION": extension(),
            "PGPORT": str(port),
            "SECRET_DIR": str(folder / "secret"),
        },
    )
    mount(made, PASSWORD)
    yield made
    made.kill()


def mount(container: Container, password: str | None, suffix: str = "") -> None:
    """Passwords of all roles: the owner's is `password`, the others' begin with it."""
    for role in ("owner", "api", "worker"):
        own = password if role == "owner" or password is None else f"{password}-{role}"
        container.set_password(own, role, f"aiapp_{role}{suffix}")
    container.set_password(None if password is None else f"{password}-super", "superuser", "postgres")


def connect(
    container: Container, password: str = PASSWORD, user: str = "aiapp_owner", options: str = "-crole=aiapp"
) -> psycopg.Connection:
    return psycopg.connect(
        host="127.0.0.1",
        port=int(container.environment["PGPORT"]),
        user=user,
        password=password,
        dbname="aiapp",
        options=options,
        autocommit=True,
        connect_timeout=10,
    )


def test_the_application_owns_its_database_and_is_no_superuser(container):
    container.start()
    container.wait_ready()
    with connect(container) as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
        assert connection.execute("SELECT current_user, session_user").fetchone() == ("aiapp", "aiapp_owner")
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        assert connection.execute(owner).fetchone() == ("aiapp",)
        installed = dict(connection.execute("SELECT extname, oid FROM pg_extension").fetchall())
        assert installed[extension()] >= 16384, "else pg_dump takes it for built in, and no dump has it"
        connection.execute("CREATE TABLE t (x int)")
    for user, password in (("aiapp_owner", "wrong"), ("postgres", PASSWORD), ("aiapp", PASSWORD)):
        with pytest.raises(psycopg.OperationalError, match=r"password authentication failed|no pg_hba\.conf entry"):
            connect(container, password, user, options="")
    assert PASSWORD not in container.log()
    assert PASSWORD not in container.command_lines()


def test_it_stops_fast_with_clients_connected_and_keeps_its_data(container):
    container.start()
    container.wait_ready()
    with connect(container) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS x")
        container.signal(signal.SIGINT)  # what the preStop hook does
        container.signal(signal.SIGTERM)  # and kubelet after it
        assert container.wait_end() == 0
    container.start()
    container.wait_ready()
    with connect(container) as connection:
        assert connection.execute("SELECT x FROM t").fetchone() == (1,)


def as_api(container: Container, password: str = PASSWORD, user: str = "aiapp_api") -> psycopg.Connection:
    return connect(container, f"{password}-api", user, options="")


def test_the_service_reads_and_writes_rows_and_changes_no_schema(container):
    container.start()
    container.wait_ready()
    with connect(container) as owner:
        owner.execute("CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY, s serial, x int)")
        assert owner.execute("SELECT tableowner FROM pg_tables WHERE tablename = 't'").fetchone() == ("aiapp",)
    for role in ("api", "worker"):
        with connect(container, f"{PASSWORD}-{role}", f"aiapp_{role}", options="") as connection:
            connection.execute("INSERT INTO t (x) VALUES (1)")
            connection.execute("UPDATE t SET x = 2")
            assert connection.execute("DELETE FROM t RETURNING x").fetchone() == (2,)
            for forbidden in (
                "DROP TABLE t",
                "ALTER TABLE t ADD y int",
                "CREATE TABLE u (x int)",
                "TRUNCATE t",
                "SET ROLE aiapp",
                "COPY t FROM PROGRAM 'id'",
                "CREATE ROLE r",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(forbidden)


def test_the_superuser_logs_in_with_a_secret_of_its_own(container):
    container.start()
    container.wait_ready()
    with connect(container, f"{PASSWORD}-super", "postgres", options="") as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (True,)


def test_a_rotation_is_taken_in_while_it_runs_and_old_logins_stay_good_for_a_while(container):
    container.start()
    container.wait_ready()
    with as_api(container) as before:
        mount(container, "second", "_xyz")
        assert container.probe("readinessProbe") == 0
        assert before.execute("SELECT 1").fetchone() == (1,)
        with as_api(container, "second", "aiapp_api_xyz") as new, as_api(container):
            limits = new.execute(
                "SELECT rolname, rolvaliduntil < now() + interval '16 minutes' FROM pg_roles WHERE rolcanlogin"
            )
            assert dict(limits.fetchall()) == {
                "postgres": None,
                "aiapp_owner": True,
                "aiapp_api": True,
                "aiapp_worker": True,
                "aiapp_owner_xyz": False,
                "aiapp_api_xyz": False,
                "aiapp_worker_xyz": False,
            }
    with connect(container, "second", "aiapp_owner_xyz") as owner:
        owner.execute("CREATE TABLE t (x int)")
    with connect(container, "second-super", "postgres", options="") as root:
        root.execute("ALTER ROLE aiapp_api VALID UNTIL '2020-01-01'")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        as_api(container)
    for secret in (PASSWORD, "second"):
        assert secret not in container.log()


def test_a_password_that_is_not_taken_in_fails_the_liveness_probe_and_holds_after_a_restart(container):
    container.start()
    container.wait_ready()
    assert container.probe("livenessProbe") == 0
    mount(container, "second")
    assert container.probe("livenessProbe") == 1
    container.kill()
    container.start()
    container.wait_ready()
    with connect(container, "second"):
        pass
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(container, PASSWORD)


def test_a_secret_that_goes_does_not_stop_a_running_database(container):
    container.start()
    container.wait_ready()
    mount(container, None)
    assert container.probe("livenessProbe") == 0
    assert container.probe("readinessProbe") == 0


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_of_its_first_start_it_starts_again(container, moment):
    container.start()
    path = container.root / "data" / moment
    wait_until(f"{moment} appears", path.exists, seconds=60, seen=container.log)
    container.kill()
    container.start()
    container.wait_ready()
    with connect(container) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not (container.root / "data" / "pgdata.new").exists()


def test_it_recovers_after_a_crash(container):
    container.start()
    container.wait_ready()
    with connect(container) as connection:
        connection.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS x")
    container.kill()
    container.start()
    container.wait_ready()
    with connect(container) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (1000,)


def test_without_a_free_connection_it_is_left_alone(container):
    container.arguments = (
        "-c",
        "max_connections=5",
        "-c",
        "superuser_reserved_connections=3",
        "-c",
        "max_wal_senders=0",
    )
    container.start()
    container.wait_ready()
    with connect(container), as_api(container):
        with pytest.raises(psycopg.OperationalError, match=r"connection slots|too many"):
            connect(container)
        assert container.probe("livenessProbe") == 0
        assert container.probe("readinessProbe") == 0


@pytest.fixture
def small_disk(container: Container) -> Iterator[Path]:
    """A disk of its own for the data, as a volume is one."""
    data = container.root / "data"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0777", "tmpfs", data], check=True)
    yield data
    container.kill()
    subprocess.run(["umount", "--lazy", data], check=True)


def fill(disk: Path, percent: int) -> None:
    """Leave so much of it in use."""
    (disk / "ballast").unlink(missing_ok=True)
    found = os.statvfs(disk)
    used = (found.f_blocks - found.f_bavail) * found.f_frsize
    with (disk / "ballast").open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, DISK * percent // 100 - used)


def test_it_knows_how_full_its_disk_is_and_tells_every_role(container, small_disk):
    container.start()
    container.wait_ready()
    with as_api(container) as before:

        def told() -> str:
            assert container.probe("readinessProbe") == 0
            return str(before.execute("SHOW aiapp.disk").fetchone()[0])

        percent, size = told().split()
        assert int(size) * 1024 == DISK
        assert int(percent) < 80
        for wanted in (93, 97, 85):
            fill(small_disk, wanted)
            wait_until(f"{wanted} %", lambda wanted=wanted: told() == f"{wanted} {size}", seconds=20, seen=told)
        with as_api(container) as after:
            assert after.execute("SHOW aiapp.disk").fetchone() == (f"85 {size}",)
        reloads = container.log().count("SIGHUP")
        for _ in range(3):
            assert container.probe("readinessProbe") == 0
        assert container.log().count("SIGHUP") == reloads, "nothing has changed"


def test_a_full_disk_is_told_and_loses_nothing(container, small_disk):
    container.start()
    container.wait_ready()
    with connect(container) as connection:
        connection.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS x")
        fill(small_disk, 100)
        with pytest.raises(psycopg.errors.DiskFull):
            connection.execute("CREATE TABLE u AS SELECT md5(i::text) FROM generate_series(1, 50000) i")
        assert container.probe("readinessProbe") == 0, "it serves reads"
        told = connection.execute("SHOW aiapp.disk").fetchone()
        assert told is not None
        assert told[0].startswith("100 ")
    container.kill()
    container.start()
    assert container.wait_end() == 1, "it would run and let nobody in"
    assert container.log().splitlines()[-1] == "aiapp: No space left on device: the volume of the database is full"
    (small_disk / "ballast").unlink()
    container.start()
    container.wait_ready()
    with connect(container) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (1000,)


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_no_server_is_noticed_by_every_probe(container, probe):
    assert container.probe(probe) != 0


@pytest.mark.parametrize(("role", "name"), [("owner", "minimal-postgres"), ("worker", "minimal-postgres-worker")])
def test_a_missing_secret_is_named(container, role, name):
    container.set_password(None, role)
    container.start()
    assert container.wait_end() == 1
    assert f"aiapp: Secret {name} is missing" in container.log()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"PG_VERSION": "9\n"}, "the data is of PostgreSQL 9, the image holds PostgreSQL"),
        ({"base": ""}, "holds no database, yet is there"),
    ],
)
def test_data_that_does_not_fit_is_not_touched(container, files, words):
    folder = container.root / "data" / "pgdata"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content, encoding="ascii")
    folder.chmod(0o755)
    container.start()
    assert container.wait_end() == 1
    assert words in container.log()
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)
