"""Keys come from files, and follow them."""

import pytest

from aiapp_service import credentials
from aiapp_service.auth import api_keys, key_file
from aiapp_service.auth.api_keys import KeyRing
from aiapp_service.credentials import SecretFile


@pytest.fixture(autouse=True)
def _look_each_time(monkeypatch):
    monkeypatch.setattr(credentials, "RECHECK_SECONDS", 0.0)
    monkeypatch.setattr(api_keys, "RECHECK_SECONDS", 0.0)


def name_of(ring, key):
    client = ring.client_of(key_file.digest(key))
    return client.name if client else None


def test_key_names_its_client(tmp_path):
    (tmp_path / "alice").write_text("key-a\n")
    (tmp_path / "bob").write_text("key-b")
    ring = KeyRing(tmp_path)
    assert [name_of(ring, key) for key in ("key-a", "key-b", "key-c", "", "alice")] == [
        "alice",
        "bob",
        None,
        None,
        None,
    ]


def test_rotation_as_kubelet_does_it(tmp_path):
    """A new directory, and a symbolic link that is swapped."""
    for version, key in (("..1", "old"), ("..2", "new")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "alice").write_text(key)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "alice").symlink_to("..data/alice")
    ring, file = KeyRing(tmp_path), SecretFile(tmp_path / "alice")
    assert name_of(ring, "old") == "alice"
    assert file.get() == "old"
    (tmp_path / "..tmp").symlink_to("..2")
    (tmp_path / "..tmp").rename(tmp_path / "..data")
    assert name_of(ring, "old") is None
    assert name_of(ring, "new") == "alice"
    assert file.get() == "new"


@pytest.mark.parametrize("content", ["", " \n"])
def test_empty_key_is_nobodys(tmp_path, content):
    (tmp_path / "alice").write_text(content)
    ring = KeyRing(tmp_path)
    assert name_of(ring, "") is None
    assert len(ring) == 0


def test_no_directory_is_nobody(tmp_path):
    assert name_of(KeyRing(tmp_path / "missing"), "x") is None
    assert SecretFile(tmp_path / "missing").get() is None


def test_removed_client_is_refused(tmp_path):
    (tmp_path / "alice").write_text("key")
    ring = KeyRing(tmp_path)
    assert name_of(ring, "key") == "alice"
    (tmp_path / "alice").unlink()
    assert name_of(ring, "key") is None
