"""hf://: whole and verified, resumed where it was broken off, and causes that say what to do."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiapp_service.weights.errors import FetchFailed
from aiapp_service.weights.fetch import Fetched, Progress, fetch
from aiapp_service.weights.hub import Hub
from aiapp_service.weights.volume import Volume
from tests.integration.service.weights.hub_server import COMMIT, TOKEN, FakeHub, running_hub

WEIGHTS = os.urandom(300_000)
MODEL = {
    "config.json": b"{}",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"x" * 2000,
    "original/consolidated.pth": b"y" * 2000,
    ".gitattributes": b"*.safetensors filter=lfs",
    "sub/tokenizer.json": b'{"a": 1}',
}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with running_hub(FakeHub(dict(MODEL))) as running:
        yield running


async def download(
    hub: FakeHub,
    root: Path,
    source: str = "hf://org/model",
    revision: str = "",
    token: str | None = None,
    name: str = "abc",
    progress: Progress | None = None,
) -> Fetched:
    file = None
    if token is not None:
        file = root.parent / "token"
        file.write_text(token)
    place = Hub(hub.url, source, revision, file)
    try:
        return await fetch(place, Volume(root), name, progress or Progress(), first_wait=0.01)
    finally:
        await place.close()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


async def test_a_repository_comes_whole_without_other_forms_of_its_weights(hub: FakeHub, root: Path) -> None:
    progress = Progress()
    fetched = await download(hub, root, progress=progress)
    wanted = ("config.json", "model.safetensors", "sub/tokenizer.json")
    assert tree(root) == {f"models/abc/{path}": MODEL[path] for path in wanted}
    assert fetched == Fetched(3, sum(len(MODEL[path]) for path in wanted), COMMIT)
    assert (progress.done, progress.total) == (fetched.size, fetched.size)


async def test_what_is_there_is_not_asked_for_again(hub: FakeHub, root: Path) -> None:
    await download(hub, root)
    hub.asked.clear()
    await download(hub, root)
    assert hub.asked == [], "not even the listing: a pod starts without a network"


async def test_a_file_with_all_its_parts(hub: FakeHub, root: Path) -> None:
    hub.files = {f"q4/m-0000{n}-of-00002.gguf": bytes([n]) * 2000 for n in (1, 2)} | {"q8/m.gguf": b"z" * 2000}
    await download(hub, root, "hf://org/model/q4/m-00001-of-00002.gguf", revision="v2")
    assert set(tree(root)) == {f"models/abc/q4/m-0000{n}-of-00002.gguf" for n in (1, 2)}


async def test_a_broken_connection_goes_on_where_it_broke(hub: FakeHub, root: Path) -> None:
    hub.files = {"model.safetensors": WEIGHTS}
    hub.break_after = [100_000, 50_000]
    await download(hub, root)
    assert tree(root) == {"models/abc/model.safetensors": WEIGHTS}
    assert hub.sent == len(WEIGHTS), "no byte twice"


async def test_another_process_goes_on_where_one_was_killed(hub: FakeHub, root: Path) -> None:
    hub.files = {"model.safetensors": WEIGHTS}
    hub.break_after = [100_000, 0, 0, 0, 0, 0, 0]
    with pytest.raises(FetchFailed) as caught:
        await download(hub, root)
    assert caught.value.reason == "DownloadInterrupted"
    assert not (root / "models").exists(), "nothing half is seen"
    hub.break_after, hub.sent = [], 0
    progress = Progress()
    await download(hub, root, progress=progress)
    assert tree(root) == {"models/abc/model.safetensors": WEIGHTS}
    assert hub.sent == len(WEIGHTS) - 100_000
    assert progress.done == len(WEIGHTS)


async def test_a_file_that_changed_meanwhile_is_not_glued_together(hub: FakeHub, root: Path) -> None:
    hub.files = {"model.safetensors": WEIGHTS}
    hub.break_after = [100_000, 0, 0, 0, 0, 0, 0]
    with pytest.raises(FetchFailed):
        await download(hub, root)
    hub.files, hub.break_after = {"model.safetensors": WEIGHTS[::-1]}, []
    await download(hub, root)
    assert tree(root) == {"models/abc/model.safetensors": WEIGHTS[::-1]}


@pytest.mark.parametrize("path", ["model.safetensors", "config.json"])
async def test_content_that_is_not_what_the_hub_says(hub: FakeHub, root: Path, path: str) -> None:
    hub.lie_about = path
    with pytest.raises(FetchFailed, match=path) as caught:
        await download(hub, root)
    assert caught.value.reason == "ChecksumMismatch"
    assert not (root / "models").exists()
    hub.lie_about = ""
    await download(hub, root)
    assert tree(root)[f"models/abc/{path}"] == MODEL[path]


@pytest.mark.parametrize(
    ("change", "fields", "reason", "words"),
    [
        ({"private": True}, {}, "ModelRefused", "set model.secretRef"),
        ({"private": True}, {"token": "wrong"}, "ModelRefused", "put a valid token into model.secretRef"),
        ({"gated": True}, {"token": TOKEN}, "ModelRefused", "accept its terms"),
        ({}, {"source": "hf://org/other", "token": TOKEN}, "ModelNotFound", "org/other"),
        ({}, {"revision": "v9"}, "ModelNotFound", "no revision v9: correct model.revision"),
        ({}, {"source": "hf://org/model/none.gguf"}, "ModelNotFound", "no file none.gguf"),
        ({"port": 9}, {}, "DownloadInterrupted", "does not answer"),
    ],
)
async def test_causes_are_told(
    hub: FakeHub, root: Path, change: dict[str, object], fields: dict[str, str], reason: str, words: str
) -> None:
    for name, value in change.items():
        setattr(hub, name, value)
    with pytest.raises(FetchFailed, match=words) as caught:
        await download(hub, root, **fields)
    assert caught.value.reason == reason
    assert TOKEN not in str(caught.value)


async def test_a_private_repository_with_its_token(hub: FakeHub, root: Path) -> None:
    hub.private = True
    await download(hub, root, token=TOKEN)
    assert "models/abc/model.safetensors" in tree(root)


async def test_too_small_a_volume_is_told_before_anything_is_written(
    hub: FakeHub, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = type("Usage", (), {"total": 2**30, "used": 2**30 - 2**20, "free": 2**20})
    monkeypatch.setattr("shutil.disk_usage", lambda _: sizes)
    with pytest.raises(FetchFailed, match=r"raise cache\.size") as caught:
        await download(hub, root)
    assert caught.value.reason == "NoSpace"
    assert hub.sent == 0


async def test_only_what_is_kept_stays(hub: FakeHub, root: Path) -> None:
    await download(hub, root, name="old")
    await download(hub, root, name="new")
    (root / "partial" / "broken").mkdir(parents=True)
    (root / "hub").mkdir()
    (root / "lost+found").mkdir()
    volume = Volume(root)
    with volume.working_on("other"):
        assert volume.collect(["new"]) > len(WEIGHTS)
        assert names(root / "partial") == {"other"}, "somebody works on it"
    assert names(root / "models") == {"new"}
    assert names(root) == {"models", "partial", "lost+found"}
