"""Pods and the connections of their database: what an AIApp may grow to fits, or it is said why not."""

import pytest

from aiapp_operator.build import connections
from aiapp_operator.build.plan import desired
from aiapp_operator.errors import Stalled
from tests.unit.operator.examples import SETTINGS, find, make_app, settled
from tests.unit.operator.status.test_conditions import conditions, status_of, summary

URL = {"urlSecretRef": {"name": "db", "key": "url"}}
EACH = 9  # a pool of 8, and one for health


def scaled(most, **fields):
    return {"autoscaling": {"minReplicas": 1, "maxReplicas": most, **fields}}


def worker(name="w", **fields):
    return {"name": name, "queues": ["embeddings"], **fields}


def managed(memory):
    return {"managed": {"resources": {"limits": {"memory": memory}}}}


def pods(most):
    return most + -(-most // 4)


def test_the_defaults_fit():
    app = make_app(api={"autoscaling": {}})
    assert connections.bounds(app) == connections.Bounds()
    assert (
        find(desired(app, settled(app)[1], SETTINGS), "HorizontalPodAutoscaler/shop-api")["spec"]["maxReplicas"] == 10
    )


@pytest.mark.parametrize(("memory", "has"), [("512Mi", 64), ("1Gi", 128), ("4Gi", 512), ("64Gi", 1000)])
def test_what_autoscalers_may_reach_fits_whatever_they_ask_for(memory, has):
    app = make_app(
        api=scaled(200), workers=[worker("a", **scaled(90)), worker("b", **scaled(40))], postgres=managed(memory)
    )
    plan = desired(app, settled(app)[1], SETTINGS)
    found = [m for m in plan.apply if m["kind"] == "HorizontalPodAutoscaler"]
    most = [m["spec"]["maxReplicas"] for m in found]
    assert len(most) == 3
    assert sum(map(pods, most)) * EACH <= has - connections.RESERVE
    assert all(count >= 1 for count in most)
    assert max(most) - min(most) <= 1 or min(most) == 40, "who asks for most is bounded first"


def test_it_says_which_numbers_and_what_to_change_and_is_ready():
    app = make_app(api=scaled(20))
    facts = settled(app)[1]
    status = status_of(app, facts)
    assert summary(status, "AutoscalingActive")[1] == "Starting"
    hpa = find(desired(app, facts, SETTINGS), "HorizontalPodAutoscaler/shop-api")
    words = hpa["metadata"]["annotations"]["aiapp.dev/capped"]
    assert words == (
        "api 20: 25 pods while they are rolled out need 225 connections, 9 each, but the database has 128, of which 10 "
        "are kept free: lower replicas or autoscaling.maxReplicas, or raise postgres.managed.resources.limits.memory"
    )
    assert conditions(status)["Ready"]["status"] == "True"


def test_what_does_not_fit_at_its_least_is_refused():
    with pytest.raises(Stalled) as refused:
        desired(make_app(api={"replicas": 40}), settled(make_app())[1], SETTINGS)
    assert refused.value.reason == "InvalidSpec"
    assert "api 40: 50 pods while they are rolled out need 450 connections" in refused.value.message
    assert "postgres.managed.resources.limits.memory" in refused.value.message


def test_of_an_external_database_is_known_what_is_said_of_it():
    free = make_app(api=scaled(500), postgres={"external": URL})
    assert connections.bounds(free) == connections.Bounds()
    app = make_app(api=scaled(50), postgres={"external": {**URL, "poolMax": 4, "maxConnections": 60}})
    found = connections.bounds(app)
    most = next(iter(found.most.values()))
    assert pods(most) * 5 <= 50 < pods(most + 1) * 5
    assert "postgres.external.poolMax" in found.words


def test_inference_needs_no_connections():
    engine = {"name": "llama", "engine": "custom", "image": "e:1", **scaled(1000)}
    assert connections.bounds(make_app(inference=[engine])) == connections.Bounds()
