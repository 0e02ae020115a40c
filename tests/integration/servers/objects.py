"""A real server of the S3 API: versitygw, which keeps objects as files in a folder."""

import getpass
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiapp_service.config import ObjectStoreConfig
from tests.cluster.gotools import program
from tests.integration.servers.processes import Server, folder_for, free_port, running

REGION = "eu-test-1"
BUCKET = "uploads"
ACCESS_KEY = "AKIATESTTESTTEST"
SECRET_KEY = "secret-half-of-the-access-key"
_PARTS = ".sgwtmp"


@dataclass(frozen=True)
class ObjectServer:
    """A running server with one bucket, and files that hold the access key to it."""

    server: Server
    port: int
    home: Path

    @property
    def endpoint(self) -> str:
        """Its address, as the configuration has it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def access_key_file(self) -> Path:
        """Holds the first half of the access key."""
        return self.home / "access-key"

    @property
    def secret_key_file(self) -> Path:
        """Holds the second."""
        return self.home / "secret-key"

    @property
    def config(self) -> ObjectStoreConfig:
        """The section of the service's configuration."""
        return ObjectStoreConfig(
            endpoint=self.endpoint,
            bucket=BUCKET,
            region=REGION,
            access_key_file=self.access_key_file,
            secret_key_file=self.secret_key_file,
        )

    def new_bucket(self, name: str) -> None:
        """Make one more."""
        (self.home / "data" / name).mkdir()

    def keys(self, bucket: str = BUCKET) -> set[str]:
        """The objects that are there, as the server's disk has them."""
        folder = self.home / "data" / bucket
        files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        return {str(path) for path in files if path.parts[0] != _PARTS}

    def parts(self, bucket: str = BUCKET) -> set[str]:
        """What lies there of uploads that are not complete."""
        folder = self.home / "data" / bucket / _PARTS
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}

    def path(self, key: str, bucket: str = BUCKET) -> Path:
        """Where the server keeps an object: to damage it, or to see what is in it."""
        return self.home / "data" / bucket / key

    def change_key(self, access: str, secret: str) -> None:
        """Start again with another access key; the files still hold the one before."""
        self.server.stop()
        self.server.env = _key(access, secret)
        self.server.start()

    def tell_key(self, access: str, secret: str) -> None:
        """Write an access key into the files."""
        self.access_key_file.write_text(access)
        self.secret_key_file.write_text(secret)


@contextmanager
def object_server(folder: Path) -> Iterator[ObjectServer]:
    """Run one while the context lasts."""
    # Programs that we have built are in a folder which may be closed to others.
    user = getpass.getuser()
    home, port = folder_for(user, folder), free_port()
    for name in ("data", "sidecar", f"data/{BUCKET}"):
        (home / name).mkdir()
    command = [str(program("versitygw")), "--port", f"127.0.0.1:{port}", "--region", REGION, "--health", "/health"]
    command += ["--quiet", "posix", "--sidecar", str(home / "sidecar"), str(home / "data")]

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    server = Server(command, user, home / "versitygw.log", answers, _key(ACCESS_KEY, SECRET_KEY))
    with running(server):
        found = ObjectServer(server, port, home)
        found.tell_key(ACCESS_KEY, SECRET_KEY)
        yield found


def _key(access: str, secret: str) -> dict[str, str]:
    return {"ROOT_ACCESS_KEY": access, "ROOT_SECRET_KEY": secret}
