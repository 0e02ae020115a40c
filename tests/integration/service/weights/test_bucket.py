"""s3:// against a real server; the commands as a pod runs them."""

import hashlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aiapp_service.config import ObjectStoreConfig
from aiapp_service.storage.objects import ObjectStore
from aiapp_service.weights.bucket import Bucket
from aiapp_service.weights.errors import FetchFailed
from aiapp_service.weights.fetch import Fetched, Progress, fetch
from aiapp_service.weights.volume import Volume
from tests.integration.servers.objects import ObjectServer
from tests.integration.servers.processes import free_port
from tests.stack.wait import wait_until

NAME = "models"
PART = 5 * 1024 * 1024
LARGE = os.urandom(PART + 1234)
FILES = {"llama/config.json": b"{}", "llama/model.safetensors": LARGE, "other/x.gguf": b"gguf" * 500}


@pytest.fixture
async def models(object_store: ObjectServer) -> ObjectStoreConfig:
    """A bucket with FILES, one of them uploaded in parts."""
    object_store.new_bucket(NAME)
    config = object_store.config.model_copy(update={"bucket": NAME})
    store = ObjectStore(config)
    for key, content in FILES.items():
        await store.put(key, once(content), part_bytes=PART)
    await store.close()
    return config


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def download(config: ObjectStoreConfig, root: Path, source: str, progress: Progress | None = None) -> Fetched:
    place = Bucket(config, source)
    try:
        return await fetch(place, Volume(root), "abc", progress or Progress(), first_wait=0.01)
    finally:
        await place.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


async def test_a_folder_and_an_object(models: ObjectStoreConfig, root: Path) -> None:
    await download(models, root, f"s3://{NAME}/llama/")
    folder = root / "models" / "abc"
    assert (folder / "model.safetensors").read_bytes() == LARGE
    assert (folder / "config.json").read_bytes() == b"{}"
    other = root.parent / "other"
    other.mkdir()
    await download(models, other, f"s3://{NAME}/other/x.gguf")
    assert [path.name for path in (other / "models" / "abc").iterdir()] == ["x.gguf"]


@pytest.mark.parametrize("key", ["llama/config.json", "llama/model.safetensors"])
async def test_what_was_damaged_in_the_store_is_noticed(
    models: ObjectStoreConfig, object_store: ObjectServer, root: Path, key: str
) -> None:
    """By the tag of an object, in one piece or in parts."""
    path = object_store.path(key, NAME)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    with path.open("r+b") as file:
        file.write(content)
    with pytest.raises(FetchFailed, match=Path(key).name) as caught:
        await download(models, root, f"s3://{NAME}/llama/")
    assert caught.value.reason == "ChecksumMismatch"


async def test_a_list_of_sums_decides_where_there_is_one(models: ObjectStoreConfig, root: Path) -> None:
    store = ObjectStore(models)
    right = hashlib.sha256(LARGE).hexdigest()
    await store.put("llama/SHA256SUMS", once(f"{right}  model.safetensors\n{'0' * 64}  config.json\n".encode()))
    with pytest.raises(FetchFailed, match=r"config\.json"):
        await download(models, root, f"s3://{NAME}/llama/")
    await store.put("llama/SHA256SUMS", once(f"{right} *./model.safetensors\n".encode()))
    await store.close()
    await download(models, root, f"s3://{NAME}/llama/")
    assert {path.name for path in (root / "models" / "abc").iterdir()} == {"config.json", "model.safetensors"}


@pytest.mark.parametrize(
    ("source", "reason", "words"),
    [
        (f"s3://{NAME}/none/", "ModelNotFound", "nothing below none/"),
        (f"s3://{NAME}/other/y.gguf", "ModelNotFound", "no object other/y.gguf"),
        ("s3://no-such-bucket/x/", "ModelNotFound", "no bucket no-such-bucket"),
    ],
)
async def test_causes_are_told(models: ObjectStoreConfig, root: Path, source: str, reason: str, words: str) -> None:
    with pytest.raises(FetchFailed, match=words) as caught:
        await download(models, root, source)
    assert caught.value.reason == reason


async def test_a_wrong_key_is_told(models: ObjectStoreConfig, object_store: ObjectServer, root: Path) -> None:
    object_store.tell_key("AKIAWRONG", "wrong")
    with pytest.raises(FetchFailed, match="access key is not accepted") as caught:
        await download(models, root, f"s3://{NAME}/llama/")
    assert caught.value.reason == "ModelRefused"
    assert "AKIAWRONG" not in str(caught.value)


def command(config: ObjectStoreConfig, root: Path, port: int) -> list[str]:
    store = config.model_dump_json(by_alias=True, exclude_defaults=True)
    program = [sys.executable, "-m", "aiapp_service", "fetch-model", "--source", f"s3://{NAME}/llama/"]
    return [*program, "--into", str(root), "--name", "abc", "--store", store, "--port", str(port)]


def test_killed_in_the_middle_it_goes_on_and_tells_of_it(
    models: ObjectStoreConfig, object_store: ObjectServer, root: Path
) -> None:
    size = 400 * 1024 * 1024
    with object_store.path("llama/huge.safetensors", NAME).open("wb") as file:
        file.truncate(size)
    port = free_port()
    first = subprocess.Popen(command(models, root, port))

    def progress() -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/progress", timeout=1) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except OSError:
            return {"done": 0, "total": 0}

    seen = wait_until("some of it is there", lambda: (p := progress())["done"] > 30e6 and p, seconds=60, pause=0.01)
    first.kill()
    first.wait()
    assert seen["total"] == size + len(LARGE) + 2
    (part,) = (root / "partial" / "abc").glob("huge.*.part")
    before = part.stat().st_size
    assert 0 < before < size
    inode = part.stat().st_ino
    done = subprocess.run(command(models, root, port), timeout=120, check=False)
    assert done.returncode == 0
    huge = root / "models" / "abc" / "huge.safetensors"
    assert (huge.stat().st_size, huge.stat().st_ino) == (size, inode), "the same file, gone on with"
