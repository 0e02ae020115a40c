"""What a key file may hold, and what is said of one that is wrong."""

import hashlib
import logging

import pytest
from click.testing import CliRunner

from aiapp_service.__main__ import main
from aiapp_service.auth import key_file
from aiapp_service.auth.api_keys import KeyRing
from aiapp_service.auth.key_file import Client, WrongKeyFile
from aiapp_service.config import RateLimitConfig

KEY = "canary-k3y-value"
DIGEST = hashlib.sha256(KEY.encode()).digest()
HEX = DIGEST.hex()


@pytest.mark.parametrize(
    ("content", "client"),
    [
        (KEY, Client("alice", "alice")),
        (f"{KEY}\n", Client("alice", "alice")),
        (f"sha256:{HEX}", Client("alice", "alice")),
        (f"sha256:{HEX.upper()}\n", Client("alice", "alice")),
        (f"key: {KEY}", Client("alice", "alice")),
        (f"sha256: {HEX}\ntenant: shop\nuser: u1", Client("alice", "shop", "u1")),
        (f"sha256: sha256:{HEX}", Client("alice", "alice")),
        (f'{{"key":"{KEY}","models":["chat"]}}', Client("alice", "alice", models=frozenset({"chat"}))),
        (f"key: {KEY}\nadmin: true", Client("alice", "alice", admin=True)),
        (f"key: {KEY}\nmodels: []", Client("alice", "alice", models=frozenset())),
        (
            f"key: {KEY}\nrequestsPerMinute: 5\nconcurrentRequests: 2",
            Client("alice", "alice", rate_limit=RateLimitConfig(requests_per_minute=5, concurrent_requests=2)),
        ),
    ],
)
def test_forms_of_a_key_file(content, client):
    assert key_file.read("alice", content) == (DIGEST, client)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("sha256:abc", "64 hexadecimal"),
        (f"sha256:{HEX[:-1]}g", "64 hexadecimal"),
        (f"{KEY} {KEY}", "neither one key nor a mapping"),
        (f"{KEY}\n{KEY}", "neither one key nor a mapping"),
        (f"- {KEY}", "neither one key nor a mapping"),
        (f"key: {KEY}\n\tx", "neither one key nor YAML"),
        ("tenant: shop", "exactly one of key, sha256"),
        (f"key: {KEY}\nsha256: {HEX}", "exactly one of key, sha256"),
        ("key: 12345", "key: Input should be a valid string"),
        ("key: ''", "key: String should have at least 1"),
        (f"key: {KEY}\nrequestsPerMinute: 0", "requestsPerMinute"),
        (f"key: {KEY}\nadmin: 'yes'", "admin: Input should be a valid boolean"),
        (f"key: {KEY}\nrequestPerMinute: 5", "is it requestsPerMinute?"),
        (f"key: x\n{KEY}: 5", "a field is unknown; known: key, sha256"),
        (f"key: x\nmodels: [{{a: {KEY}}}]", "models.0"),
        (f"sha256: {KEY}", "64 hexadecimal"),
        ("{canary-k3y-value}", "unknown|exactly one"),
    ],
)
def test_wrong_file_lets_nobody_in_and_is_named_without_its_content(tmp_path, caplog, content, words):
    with pytest.raises(WrongKeyFile, match=words):
        key_file.read("alice", content)
    (tmp_path / "alice").write_text(content)
    (tmp_path / "bob").write_text("other-key")
    caplog.set_level(logging.DEBUG)
    ring = KeyRing(tmp_path)
    assert len(ring) == 1
    assert ring.client_of(DIGEST) is None
    said = [record.__dict__ for record in caplog.records]
    assert [entry["file"] for entry in said] == ["alice"]
    assert "canary" not in str(said)
    assert HEX[:20] not in str(said)


def test_a_key_has_one_owner(tmp_path, caplog):
    (tmp_path / "alice").write_text(KEY)
    (tmp_path / "bob").write_text(f"sha256:{HEX}")
    assert KeyRing(tmp_path).client_of(DIGEST) == Client("alice", "alice")
    assert [record.__dict__["file"] for record in caplog.records] == ["bob"]


def test_files_that_cannot_be_read(tmp_path, caplog):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_text("x" * 70_000)
    assert len(KeyRing(tmp_path)) == 0
    assert [record.__dict__["file"] for record in caplog.records] == ["binary", "large"]


def test_hash_key_prints_what_a_key_file_takes():
    done = CliRunner().invoke(main, ["hash-key"], input=f"{KEY}\n")
    assert done.exit_code == 0
    assert done.output == f"sha256:{HEX}\n"
    assert key_file.read("alice", done.output)[0] == DIGEST
    for wrong in ("", "  \n", "a b"):
        assert CliRunner().invoke(main, ["hash-key"], input=wrong).exit_code == 2
