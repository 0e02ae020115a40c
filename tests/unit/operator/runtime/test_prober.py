"""What the APIs say of their backends: asked now and then, and remembered over a restart."""

import asyncio
from dataclasses import replace

import pytest

from aiapp_operator.api.facts import BackendFault, BackendHealth, Facts, HealthStatus, UnservedModel, Workload
from aiapp_operator.api.manifest import ObjectKey
from aiapp_operator.kube.store import AppKey, AppStore, ChildStore
from aiapp_operator.runtime.prober import Prober, told_by
from aiapp_operator.status.conditions import evaluate
from tests.unit.operator.examples import make_app
from tests.unit.operator.simulation.clock import seconds, virtual_time
from tests.unit.operator.simulation.seeds import seeded

SHOP = AppKey("team", "shop")
API = ObjectKey("Deployment", "shop-api")
HEALTHY = {"status": "healthy", "checks": {}}
DEGRADED = {"status": "degraded", "checks": {"redis": {"status": "error"}, "llm": {"status": "ok"}}}


class Api:
    """An API that answers with `document`, or not at all."""

    def __init__(self, document=None):
        self.document = document
        self.asked = []

    async def __call__(self, url):
        self.asked.append((seconds(), url))
        await asyncio.sleep(0.1)
        if isinstance(self.document, Exception):
            raise self.document
        return self.document


def setting(api, *, ready=1, status=None, names=("shop",)):
    """A prober over some AIApps, and what it tells of."""
    apps, children, changed = AppStore(), ChildStore(), []
    for version, name in enumerate(names, 1):
        meta = {"name": name, "namespace": "team", "resourceVersion": str(version)}
        apps.put({"metadata": meta, "spec": {}, "status": status or {}})
        labels = {"aiapp.dev/app": name}
        deployment = {"name": f"{name}-api", "namespace": "team", "resourceVersion": str(version), "labels": labels}
        children.put({"kind": "Deployment", "metadata": deployment, "status": {"readyReplicas": ready}})
    prober = Prober(
        apps, children, api, changed.append, interval=30, url=lambda key: f"http://{key.name}", rng=seeded(1)
    )
    return prober, changed, apps


@pytest.mark.parametrize(
    ("document", "known"),
    [
        (HEALTHY, BackendHealth(HealthStatus.HEALTHY)),
        (DEGRADED, BackendHealth(HealthStatus.DEGRADED, ("redis",))),
        ({"status": "splendid"}, None),
        (["healthy"], None),
        ({"status": "healthy", "checks": []}, None),
        (ValueError("no JSON"), None),
        (TimeoutError(), None),
        (OSError("no route"), None),
    ],
)
@virtual_time
async def test_what_an_api_says_is_known_and_silence_is_no_news(document, known):
    prober, changed, _ = setting(Api(document))
    await prober.look(SHOP)
    assert prober(SHOP) == known
    assert changed == ([SHOP] if known else [])


@virtual_time
async def test_only_what_differs_is_told():
    api = Api(HEALTHY)
    prober, changed, _ = setting(api)
    for document in (HEALTHY, HEALTHY, DEGRADED, DEGRADED, OSError(), OSError(), HEALTHY):
        api.document = document
        await prober.look(SHOP)
    assert len(changed) == 4


@virtual_time
async def test_an_api_without_ready_pods_is_not_asked():
    api = Api(HEALTHY)
    prober, _, _ = setting(api, ready=0)
    await prober.look(SHOP)
    assert (api.asked, prober(SHOP)) == ([], None)


@pytest.mark.parametrize(
    "health",
    [
        BackendHealth(HealthStatus.HEALTHY),
        BackendHealth(HealthStatus.DEGRADED, ("llm", "redis")),
        BackendHealth(HealthStatus.DEGRADED),
        BackendHealth(HealthStatus.UNHEALTHY, ("database",)),
        BackendHealth(HealthStatus.DEGRADED, ("llm",), (BackendFault("openai/gpt", "out_of_quota"),)),
        BackendHealth(HealthStatus.DEGRADED, ("llm",), (), (UnservedModel("chat", ("openai/gpt",)),)),
        None,
    ],
)
def test_the_condition_says_again_what_it_said(health):
    def condition(backends):
        facts = Facts(workloads={API: Workload(API, serving=1)}, backends=backends)
        return evaluate(make_app(), facts, None, previous=None, now="2025-01-01T00:00:00Z")

    said = condition(health)
    assert condition(told_by(said)) == said


def test_a_model_that_nobody_serves_is_still_known_after_a_restart():
    document = {
        "status": "degraded",
        "checks": {"llm": {"status": "error"}},
        "backends": [{"name": "openai/gpt", "status": "error", "reason": "refused_key", "code": 401}],
        "models": [{"name": "chat", "served": False, "backends": ["openai/gpt"]}],
    }
    facts = Facts(workloads={API: Workload(API, serving=1)}, backends=BackendHealth.from_document(document))
    said = evaluate(make_app(), facts, None, previous=None, now="2025-01-01T00:00:00Z")
    told = told_by(said)
    assert told is not None
    assert told.words is not None
    assert told.words[0] == "ModelNotServed"
    assert evaluate(make_app(), replace(facts, backends=told), None, previous=said, now="2026-01-01T00:00:00Z") == said


@virtual_time
async def test_until_it_is_asked_the_status_holds():
    conditions = [{"type": "BackendsHealthy", "status": "True", "reason": "Healthy", "message": "all answer"}]
    prober, changed, _ = setting(Api(HEALTHY), status={"conditions": conditions})
    assert prober(SHOP) == BackendHealth(HealthStatus.HEALTHY)
    await prober.look(SHOP)
    assert changed == []


@virtual_time
async def test_once_it_does_not_answer_the_status_no_longer_counts():
    conditions = [{"type": "BackendsHealthy", "status": "True", "reason": "Healthy", "message": "all answer"}]
    prober, changed, _ = setting(Api(OSError()), status={"conditions": conditions})
    await prober.look(SHOP)
    assert (prober(SHOP), changed) == (None, [SHOP])


@virtual_time
async def test_all_are_asked_about_once_an_interval_and_not_at_once():
    api = Api(HEALTHY)
    names = tuple(f"app{i}" for i in range(40))
    prober, _, apps = setting(api, names=names)
    task = asyncio.create_task(prober.run())
    await asyncio.sleep(600)
    for name in names:
        times = [at for at, url in api.asked if url == f"http://{name}"]
        assert 13 <= len(times) <= 30
    assert len({at for at, _ in api.asked}) > len(api.asked) * 0.9
    apps.remove({"metadata": {"name": "app0", "namespace": "team", "resourceVersion": "99"}})
    await asyncio.sleep(60)
    assert prober(AppKey("team", "app0")) is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
