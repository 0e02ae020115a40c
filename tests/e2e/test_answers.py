"""An AIApp with a real model: it becomes Ready, answers through an SDK, and is honest when a pod dies."""

import json
from collections.abc import Iterator

import httpx2 as httpx
import pytest
from openai import AuthenticationError, OpenAI

from tests.e2e.apps import AppFactory
from tests.stack.aiapp import AppHandle
from tests.stack.client import port_forward, sdk
from tests.stack.sample import MODEL_PATH
from tests.stack.wait import wait_until

KEY = "e2e-key"
DEAD = {"name": "dead", "kind": "OpenAICompatible", "baseURL": "http://127.0.0.1:9/v1"}
SPEC = {
    "api": {"replicas": 1, "auth": {"apiKeys": {"secretRef": {"name": "keys"}}}},
    "providers": [{"name": "fake", "kind": "Mock"}, DEAD],
    "models": [
        {"name": "chat", "backends": [{"inference": "gemma"}]},
        {"name": "mock", "backends": [{"provider": "fake", "model": "mock-chat"}]},
        {
            "name": "fallback",
            "backends": [{"provider": "dead", "model": "gone"}, {"provider": "fake", "model": "mock-chat"}],
        },
    ],
}
FEW_SHOT = "Q: Name three colours.\nA: red, green, blue\nQ: Name three animals.\nA:"


@pytest.fixture(scope="module")
def app(module_apps: AppFactory) -> AppHandle:
    source = f"image://{module_apps.platform.model_image}#{MODEL_PATH}"
    gemma = {"name": "gemma", "engine": "llamaCpp", "model": {"source": source}, "args": ["--threads", "2"]}
    module_apps.kube.secret("keys", module_apps.namespace, {"tester": KEY})
    handle = module_apps.apply("answers", inference=[gemma], **SPEC)
    handle.wait_ready(seconds=400)
    return handle


@pytest.fixture(scope="module")
def url(app: AppHandle) -> Iterator[str]:
    with port_forward(app.kube, app.namespace, f"svc/{app.name}-api", 8080) as base:
        yield base


@pytest.fixture
def client(url: str) -> OpenAI:
    return sdk(url, KEY)


def test_real_model_streams_token_by_token(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": FEW_SHOT}], max_tokens=16, stream=True, temperature=0
    )
    pieces = [c.choices[0].delta.content for c in stream if c.choices and c.choices[0].delta.content]
    assert len(pieces) > 3, "a stream comes in pieces"
    assert "".join(pieces).strip()


def test_models_lists_what_the_spec_names(client: OpenAI) -> None:
    assert {model.id for model in client.models.list()} == {"chat", "mock", "fallback"}


def test_wrong_api_key_is_refused(url: str) -> None:
    with pytest.raises(AuthenticationError) as refused:
        sdk(url, "not-a-key").models.list()
    assert refused.value.status_code == 401
    assert "not-a-key" not in str(refused.value)


def test_dead_backend_falls_back(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="fallback", messages=[{"role": "user", "content": "hello"}])
    assert answer.choices[0].message.content


def test_status_tells_what_runs(app: AppHandle) -> None:
    status = app.read()["status"]
    states = {component["name"]: component["state"] for component in status["components"]}
    assert states == {"api": "Ready", "postgres": "Ready", "redis": "Ready", "inference/gemma": "Ready"}
    assert status["database"]["migrated"]
    assert (status["api"], status["inference"]) == ("1/1", "1/1")
    printed = app.kube.kubectl("-n", app.namespace, "get", "aiapp", app.name)
    assert "True" in printed
    assert "1/1" in printed


def test_scale_subresource_scales_the_api(app: AppHandle) -> None:
    app.kube.kubectl("-n", app.namespace, "scale", "aiapp", app.name, "--replicas=2")
    wait_until("two API pods ready", lambda: app.read()["status"].get("api") == "2/2", seconds=90, seen=app.describe)
    app.kube.kubectl("-n", app.namespace, "scale", "aiapp", app.name, "--replicas=1")
    wait_until("one API pod", lambda: len(app.pods("api")) == 1, seconds=90, seen=app.describe)


# Last, since it takes the model away for a while.
def test_inference_pod_killed_mid_stream_ends_in_an_error_event(app: AppHandle) -> None:
    body = {
        "model": "chat",
        "stream": True,
        "max_tokens": 2000,
        "messages": [{"role": "user", "content": FEW_SHOT}],
        "ignore_eos": True,
    }
    victim = app.pods("inference")[0]["metadata"]["name"]
    events: list[str] = []
    with port_forward(app.kube, app.namespace, f"svc/{app.name}-api", 8080) as base:
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx.stream("POST", f"{base}/v1/chat/completions", json=body, headers=headers, timeout=120) as response:
            assert response.status_code == 200
            for line in response.iter_lines():
                if not line.startswith("data: "):
                    continue
                events.append(line.removeprefix("data: "))
                if len(events) == 5:
                    app.kube.delete("Pod", victim, app.namespace, grace_seconds=0)
    assert "error" in json.loads(events[-1]), events[-3:]
    assert "[DONE]" not in events
    app.wait_ready(seconds=240)
    with port_forward(app.kube, app.namespace, f"svc/{app.name}-api", 8080) as base:

        def answered() -> bool:
            answer = sdk(base, KEY).chat.completions.create(
                model="chat", messages=[{"role": "user", "content": FEW_SHOT}], max_tokens=4
            )
            return bool(answer.choices)

        assert answered(), "the app answers again once it says Ready"
