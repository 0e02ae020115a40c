"""Files through the API of an AIApp into a real S3 server, and what is said when that is gone."""

import hashlib
import os
from collections.abc import Iterator

import pytest
from openai import InternalServerError, NotFoundError, OpenAI
from rich.console import Console

from tests.e2e.apps import AppFactory
from tests.stack.aiapp import AppHandle
from tests.stack.client import port_forward, sdk
from tests.stack.objectstore import ObjectStore, object_store
from tests.stack.wait import wait_until

OURS, THEIRS = "key-of-ours-0123456789", "key-of-theirs-0123456789"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def store(module_apps: AppFactory) -> ObjectStore:
    return object_store(module_apps.platform, module_apps.namespace, Console(highlight=False, width=160))


@pytest.fixture(scope="module")
def app(module_apps: AppFactory, store: ObjectStore) -> AppHandle:
    module_apps.kube.secret("keys", module_apps.namespace, {"ours": OURS, "theirs": THEIRS})
    api = {"replicas": 1, "auth": {"apiKeys": {"secretRef": {"name": "keys"}}}, "files": {"maxSize": "32Mi"}}
    handle = module_apps.apply("files", api=api, objectStore=store.spec)
    handle.wait_ready(seconds=300)
    return handle


@pytest.fixture
def url(app: AppHandle) -> Iterator[str]:
    with port_forward(app.kube, app.namespace, f"svc/{app.name}-api", 8080) as base:
        yield base


@pytest.fixture
def client(url: str) -> OpenAI:
    return sdk(url, OURS)


def test_upload_is_read_back(client: OpenAI, url: str) -> None:
    content = os.urandom(20 * MIB)  # three parts
    made = client.files.create(file=("random.bin", content), purpose="user_data")
    assert made.bytes == len(content)
    found = client.files.content(made.id).content
    assert hashlib.sha256(found).digest() == hashlib.sha256(content).digest()
    with pytest.raises(NotFoundError):
        sdk(url, THEIRS).files.content(made.id)
    assert client.files.delete(made.id).deleted
    assert not client.files.list().data


def test_store_that_is_gone_is_named(app: AppHandle, store: ObjectStore, client: OpenAI) -> None:
    store.stop()
    try:
        with pytest.raises(InternalServerError, match="object store does not answer") as refused:
            client.with_options(max_retries=0).files.create(file=("a.txt", b"words"), purpose="user_data")
        assert refused.value.status_code == 503
        app.wait_condition("BackendsHealthy", "False", contains="spec.objectStore.s3.endpoint", seconds=120)
    finally:
        store.start()
    app.wait_condition("BackendsHealthy", "True", seconds=120)
    made = client.files.create(file=("a.txt", b"words"), purpose="user_data")
    assert client.files.content(made.id).content == b"words"


# Last, since it leaves a wrong key behind.
def test_key_that_is_refused_is_named(app: AppHandle, store: ObjectStore, client: OpenAI) -> None:
    store.tell_key(secret="wrong")
    told = app.wait_condition(
        "BackendsHealthy",
        "False",
        contains="Secret of spec.objectStore.s3.credentialsSecretRef",
        seconds=240,
    )
    assert "wrong" not in told["message"]
    store.tell_key()
    wait_until("the key is taken in", lambda: _uploads(client), seconds=240)


def _uploads(client: OpenAI) -> bool:
    try:
        client.with_options(max_retries=0).files.create(file=("a.txt", b"words"), purpose="user_data")
    except InternalServerError:
        return False
    return True
