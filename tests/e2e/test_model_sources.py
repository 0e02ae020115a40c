"""A model out of a bucket: downloaded once, served without a network, changed and stopped without harm."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest
from openai import OpenAI
from rich.console import Console

from tests.e2e.apps import AppFactory
from tests.stack.aiapp import AppHandle
from tests.stack.client import port_forward, sdk
from tests.stack.objectstore import BUCKET, ObjectStore, object_store
from tests.stack.sample import MODEL_PATH
from tests.stack.wait import wait_until

FEW_SHOT = "Q: Name three colours.\nA: red, green, blue\nQ: Name three animals.\nA:"
# What a team would upload: the file, and the list of sums that it is checked against.
SEED = f'mkdir "$1/models" && cd "$1/models" && cp {MODEL_PATH} gemma.gguf && sha256sum gemma.gguf > SHA256SUMS'


def entry(revision: str) -> dict[str, Any]:
    model = {"source": f"s3://{BUCKET}/models/gemma.gguf", "revision": revision}
    return {"name": "gemma", "engine": "llamaCpp", "model": model, "cache": {"size": "1Gi"}, "args": ["--threads", "2"]}


@pytest.fixture(scope="module")
def store(module_apps: AppFactory) -> ObjectStore:
    platform = module_apps.platform
    return object_store(platform, module_apps.namespace, Console(width=160), seed=(platform.model_image, SEED))


@pytest.fixture(scope="module")
def app(module_apps: AppFactory, store: ObjectStore) -> AppHandle:
    handle = module_apps.apply(
        "bucket",
        inference=[entry("1")],
        models=[{"name": "chat", "backends": [{"inference": "gemma"}]}],
        objectStore=store.spec,
    )
    handle.wait_ready(seconds=400)
    return handle


@pytest.fixture
def client(app: AppHandle) -> Iterator[OpenAI]:
    with port_forward(app.kube, app.namespace, f"svc/{app.name}-api", 8080) as base:
        yield sdk(base, "nobody-asks")


def downloads(app: AppHandle) -> dict[str, dict[str, Any]]:
    """Jobs on the cache volume, by name."""
    found = app.kube.list("Job", app.namespace, f"aiapp.dev/app={app.name},aiapp.dev/component=model")
    return {job["metadata"]["name"]: job for job in found}


def test_a_model_of_a_bucket_answers_token_by_token(app: AppHandle, client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": FEW_SHOT}], max_tokens=16, stream=True, temperature=0
    )
    pieces = [c.choices[0].delta.content for c in stream if c.choices and c.choices[0].delta.content]
    assert len(pieces) > 3
    component = next(c for c in app.read()["status"]["components"] if c["name"] == "inference/gemma")
    assert component["model"] == f"s3://{BUCKET}/models/gemma.gguf"
    assert component["revision"] == "1"
    policy = app.kube.get("NetworkPolicy", f"{app.name}-inference-gemma", app.namespace)
    assert policy is not None
    assert "Egress" in policy["spec"]["policyTypes"]
    assert "egress" not in policy["spec"], "a pod that starts reaches nobody"


def test_a_pod_that_stops_first_finishes_its_streams(app: AppHandle) -> None:
    body = {
        "model": "chat",
        "stream": True,
        "max_tokens": 150,
        "messages": [{"role": "user", "content": FEW_SHOT}],
        "ignore_eos": True,
    }
    victim = app.pods("inference")[0]["metadata"]["name"]
    events: list[str] = []
    with (
        port_forward(app.kube, app.namespace, f"svc/{app.name}-api", 8080) as base,
        httpx.stream("POST", f"{base}/v1/chat/completions", json=body, timeout=120) as response,
    ):
        for line in response.iter_lines():
            if line.startswith("data: "):
                events.append(line.removeprefix("data: "))
                if len(events) == 5:
                    app.kube.delete("Pod", victim, app.namespace)
    assert events[-1] == "[DONE]", events[-2:]
    assert not any("error" in json.loads(event) for event in events[:-1])
    assert len(events) > 100
    app.wait_ready(seconds=120)


def test_a_new_revision_is_downloaded_before_the_old_one_stops_and_then_the_old_one_goes(app: AppHandle) -> None:
    before = downloads(app)
    app.patch_spec({"inference": [entry("2")]})
    wait_until(
        "only the new download is left",
        lambda: len(found := downloads(app)) == 1 and not found.keys() & before.keys(),
        seconds=180,
        seen=app.describe,
    )
    (job,) = downloads(app).values()
    (pod,) = app.pods("inference")
    assert pod["metadata"]["creationTimestamp"] >= job["status"]["completionTime"]
    app.wait_ready(seconds=60)


# Last, since it leaves a download that fails.
def test_a_download_that_fails_says_why_and_disturbs_nobody(app: AppHandle, client: OpenAI) -> None:
    wrong = entry("3")
    wrong["model"]["source"] = f"s3://{BUCKET}/models/other.gguf"
    app.patch_spec({"inference": [wrong]})
    found = app.wait_condition("InferenceReady", "False", reason="ModelNotFound", seconds=60)
    assert "no object models/other.gguf: correct model.source; the previous model serves on" in found["message"]
    answer = client.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": FEW_SHOT}], max_tokens=4
    )
    assert answer.choices
