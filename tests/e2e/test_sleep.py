"""An app that is set to sleep under load: nobody is cut off or turned away without a word, and its data is kept."""

import time

import httpx2 as httpx
import pytest

from tests.e2e.apps import AppFactory
from tests.e2e.databases import sql
from tests.stack import driver
from tests.stack.aiapp import AppHandle
from tests.stack.client import port_forward
from tests.stack.wait import wait_until

# Each request is under way for a while, so that some are whenever pods are told to stop.
BODY = {"model": "chat", "messages": [{"role": "user", "content": "slowly"}], "x_mock": {"delay_seconds": 2}}
WORKERS = [{"name": "background", "queues": ["embeddings"]}]
RETRY_AFTER = 15


@pytest.fixture(scope="module")
def app(module_apps: AppFactory) -> AppHandle:
    api = {"replicas": 2, "auth": {"anonymous": True}}
    handle = module_apps.apply("sleepy", api=api, workers=WORKERS, sleep={"retryAfterSeconds": RETRY_AFTER})
    handle.wait_ready(seconds=180)
    return handle


def components(app: AppHandle) -> set[str]:
    """Components with pods, those that are being stopped too, Jobs left out."""
    found = app.kube.list("Pod", app.namespace, f"aiapp.dev/app={app.name},aiapp.dev/component!=migrate")
    return {pod["metadata"]["labels"]["aiapp.dev/component"] for pod in found}


def rows(app: AppHandle) -> int:
    return int(sql(app, "select count(*) from usage"))


def test_it_sleeps_and_wakes_under_load_and_every_request_gets_an_answer(
    module_apps: AppFactory, app: AppHandle
) -> None:
    load = driver.start(module_apps.platform, app.namespace, app.name, 8, BODY)
    wait_until("usage is written", lambda: rows(app) > 0, seconds=60, seen=lambda: rows(app))
    before = rows(app)

    started = time.monotonic()
    app.patch_spec({"state": "Sleeping"})
    app.wait_condition("Ready", "True", reason="Sleeping", seconds=180)
    fell_asleep = time.monotonic() - started
    # Pods whose processes have ended are still listed for a moment.
    wait_until("only the stand-in", lambda: components(app) == {"sleeping"}, seconds=30, seen=lambda: components(app))
    with (
        port_forward(app.kube, app.namespace, f"pod/{app.pods('sleeping')[0]['metadata']['name']}", 8080) as base,
        httpx.Client(base_url=base) as client,
    ):
        answer = client.post("/v1/chat/completions", json=BODY)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, str(RETRY_AFTER))
    assert answer.json()["error"]["code"] == "app_sleeping"

    started = time.monotonic()
    app.patch_spec({"state": "Running"})
    status = app.wait_ready(seconds=180)["status"]
    woke = time.monotonic() - started
    asleep = load.counts()
    wait_until("it answers again", lambda: load.counts().done > asleep.done, seconds=60, seen=load.counts)
    counts = load.stop()
    assert (counts.failed, counts.said) == (0, ())
    assert counts.asleep > 0
    # The operator's clock has whole seconds, and begins when it sees the change.
    assert 0 < status["lastWake"]["seconds"] <= woke + 1
    assert rows(app) >= before, "its data is kept"
    # The stand-in goes on for some seconds after nothing leads to it any more.
    awake = {"api", "worker", "postgres", "redis"}
    wait_until("the stand-in is gone", lambda: components(app) == awake, seconds=60, seen=lambda: components(app))
    print(
        f"fell asleep in {fell_asleep:.0f} s, woke in {woke:.0f} s (status: {status['lastWake']['seconds']} s); "
        f"requests: {counts.done} answered, {counts.asleep} told that it sleeps, {counts.failed} failed"
    )
