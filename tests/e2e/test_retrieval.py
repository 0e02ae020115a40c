"""Vector stores and batches on a cluster: work goes through worker pods, and those are killed while they are at it."""

import json
from collections.abc import Iterator

import pytest
from openai import OpenAI
from openai.types import Batch
from rich.console import Console

from tests.e2e.apps import MOCK_CHAT, AppFactory
from tests.stack.aiapp import AppHandle
from tests.stack.client import port_forward, sdk
from tests.stack.objectstore import object_store
from tests.stack.wait import wait_until

KEY = "key-of-the-team-0123456789"
EMBED = {"name": "embed", "kind": "Embedding", "backends": [{"provider": "fake", "model": "mock-embed"}]}
FILES = 30
LINES = 120
ENDED = {"completed", "failed", "expired", "cancelled"}


@pytest.fixture(scope="module")
def app(module_apps: AppFactory) -> AppHandle:
    store = object_store(module_apps.platform, module_apps.namespace, Console(highlight=False, width=160))
    module_apps.kube.secret("keys", module_apps.namespace, {"team": KEY})
    handle = module_apps.apply(
        "library",
        api={"replicas": 1, "auth": {"apiKeys": {"secretRef": {"name": "keys"}}}},
        workers=[{"name": "all", "queues": ["embeddings", "batches"], "concurrency": 4}],
        models=[MOCK_CHAT, EMBED],
        vectorStore={"embeddingModel": "embed", "pgvector": {}},
        objectStore=store.spec,
    )
    handle.wait_ready(seconds=300)
    return handle


@pytest.fixture(scope="module")
def client(app: AppHandle) -> Iterator[OpenAI]:
    with port_forward(app.kube, app.namespace, f"svc/{app.name}-api", 8080) as base:
        yield sdk(base, KEY)


def kill_workers(app: AppHandle) -> None:
    """As a node does that dies: no time to end."""
    selector = f"aiapp.dev/app={app.name},aiapp.dev/component=worker"
    app.kube.kubectl(
        "-n", app.namespace, "delete", "pod", "-l", selector, "--grace-period=0", "--force", "--wait=false"
    )


def text(number: int) -> str:
    return f"Shelf {number} keeps the atlas of region {number}."


def test_files_are_read_though_their_reader_is_killed(app: AppHandle, client: OpenAI) -> None:
    store = client.vector_stores.create(name="atlases")
    ids = [client.files.create(file=(f"{n}.txt", text(n).encode()), purpose="assistants").id for n in range(FILES)]
    client.vector_stores.file_batches.create(store.id, file_ids=ids)
    kill_workers(app)

    def counts() -> dict[str, int]:
        return client.vector_stores.retrieve(store.id).file_counts.model_dump()

    wait_until("all files read", lambda: counts()["in_progress"] == 0, seconds=180, seen=counts)
    assert counts() == {"in_progress": 0, "completed": FILES, "failed": 0, "cancelled": 0, "total": FILES}
    # The mock's vectors follow from the text: the same text is the nearest there is.
    found = client.vector_stores.search(store.id, query=text(17), max_num_results=5).data
    assert (found[0].filename, [part.text for part in found[0].content]) == ("17.txt", [text(17)])
    assert len({hit.file_id for hit in found}) == len(found), "no chunk is there twice"
    assert client.vector_stores.files.delete(ids[17], vector_store_id=store.id).deleted
    left = client.vector_stores.search(store.id, query=text(17), max_num_results=5).data
    assert "17.txt" not in {hit.filename for hit in left}


def test_batch_ends_though_its_worker_is_killed(app: AppHandle, client: OpenAI) -> None:
    lines = "\n".join(json.dumps(line(n)) for n in range(LINES))
    file = client.files.create(file=("lines.jsonl", lines.encode()), purpose="batch")
    made = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")

    def state() -> Batch:
        return client.batches.retrieve(made.id)

    def under_way() -> bool:
        counts = state().request_counts
        return counts is not None and counts.completed > 0

    wait_until("some lines are done", under_way, seconds=120, seen=state)
    kill_workers(app)
    wait_until("the batch ended", lambda: state().status in ENDED, seconds=180, seen=state)
    ended = state()
    assert ended.status == "completed"
    assert ended.output_file_id is not None
    answers = [json.loads(row) for row in client.files.content(ended.output_file_id).text.splitlines()]
    assert [row["custom_id"] for row in answers] == [f"line-{n}" for n in range(LINES)]
    said = answers[7]["response"]["body"]["choices"][0]["message"]["content"]
    assert "question 7" in said


def line(number: int) -> dict[str, object]:
    """A line that takes a while, so that there is something to interrupt."""
    message = {"role": "user", "content": f"question {number}"}
    body = {"model": "chat", "messages": [message], "x_mock": {"delay_seconds": 1}}
    return {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
