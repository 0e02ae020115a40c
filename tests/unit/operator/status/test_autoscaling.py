"""AutoscalingActive: what autoscalers say, in words that say what to do."""

from dataclasses import replace

import pytest

from aiapp_operator.api import names
from aiapp_operator.api.facts import Autoscaler
from aiapp_operator.api.manifest import ObjectKey
from aiapp_operator.api.names import ComponentName
from aiapp_operator.status.observe import observe
from tests.unit.operator.examples import make_app
from tests.unit.operator.status.test_conditions import changed, conditions, healthy, status_of, summary

API = ObjectKey("Deployment", "shop-api")
SCALED = {"api": {"autoscaling": {"minReplicas": 3, "maxReplicas": 9}}}


def with_autoscaler(facts, **fields):
    return replace(facts, autoscalers={"shop-api": Autoscaler("shop-api", **fields)})


def facts_of(app, pods=3):
    return changed(healthy(app), API, desired=pods, pods=pods, ready=pods, serving=pods)


def test_apps_without_autoscaling_have_no_such_condition():
    app = make_app()
    assert "AutoscalingActive" not in conditions(status_of(app, healthy(app)))


def test_active():
    app = make_app(**SCALED)
    status = status_of(app, with_autoscaler(facts_of(app), active=True))
    assert summary(status, "AutoscalingActive") == ("True", "Active", "api: 3 to 9 pods")
    assert summary(status, "Ready")[0] == "True"


def test_less_room_than_asked_for_is_said_with_the_reason():
    app = make_app(api={"autoscaling": {"minReplicas": 3, "maxReplicas": 30}})
    status = status_of(app, with_autoscaler(facts_of(app), active=True))
    assert summary(status, "AutoscalingActive")[:2] == ("True", "Capped")
    message = summary(status, "AutoscalingActive")[2]
    assert message.startswith("api: 3 to 10 pods and not 30: api 30: 38 pods while they are rolled out need 342 ")
    assert summary(status, "Ready")[0] == "True"


@pytest.mark.parametrize("fields", [None, {"active": None}])
def test_not_known_yet(fields):
    app = make_app(**SCALED)
    facts = facts_of(app) if fields is None else with_autoscaler(facts_of(app), **fields)
    assert summary(status_of(app, facts), "AutoscalingActive")[:2] == ("Unknown", "Starting")


def test_missing_metrics_name_the_remedy_and_leave_the_app_ready():
    app = make_app(**SCALED)
    facts = with_autoscaler(
        facts_of(app), active=False, reason="FailedGetPodsMetric", message="no metrics returned from custom metrics API"
    )
    status = status_of(app, facts)
    value, reason, message = summary(status, "AutoscalingActive")
    assert (value, reason) == ("False", "MetricsUnavailable")
    assert message.startswith("api: no metrics returned from custom metrics API: run Prometheus")
    assert summary(status, "Ready")[0] == "True"


def test_the_number_of_pods_that_is_waited_for_is_the_autoscalers():
    app = make_app(**SCALED)
    status = status_of(app, with_autoscaler(facts_of(app, pods=7), active=True))
    assert status["api"] == "7/7"
    status = status_of(app, with_autoscaler(facts_of(app, pods=1), active=True))
    assert status["api"] == "1/3", "the autoscaler brings it to the least number"
    assert summary(status, "Ready")[0] == "False"


def hpa(**conditions_of):
    listed = [
        {"type": type_, "status": status, "reason": reason, "message": f"{type_} said"}
        for type_, (status, reason) in conditions_of.items()
    ]
    labels = names.labels("shop", ComponentName.API)
    return {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "shop-api", "labels": labels},
        "status": {"conditions": listed},
    }


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, (None, "", "")),
        ({"AbleToScale": ("True", "ReadyForNewScale"), "ScalingActive": ("True", "ValidMetricFound")}, (True, "", "")),
        (
            {"AbleToScale": ("True", "x"), "ScalingActive": ("False", "FailedGetPodsMetric")},
            (False, "FailedGetPodsMetric", "ScalingActive said"),
        ),
        ({"AbleToScale": ("False", "FailedGetScale")}, (False, "FailedGetScale", "AbleToScale said")),
    ],
)
def test_reading_an_autoscaler(said, expected):
    found = observe(make_app(), [hpa(**said)], None).autoscalers["shop-api"]
    assert (found.active, found.reason, found.message) == expected


IDLE = {"inference": [{"name": "m", "engine": "custom", "image": "e:1", "autoscaling": {"minReplicas": 0}}]}


def scaled_object(*conditions):
    metadata = {"name": "shop-inference-m", "labels": names.labels("shop", ComponentName.INFERENCE, "m")}
    return {"kind": "ScaledObject", "metadata": metadata, "status": {"conditions": list(conditions)}}


@pytest.mark.parametrize(
    ("conditions", "active"),
    [
        ([], None),
        ([{"type": "Ready", "status": "Unknown"}], None),
        ([{"type": "Ready", "status": "True"}, {"type": "Active", "status": "False"}], True),
        ([{"type": "Ready", "status": "False", "reason": "TriggerError", "message": "no Prometheus"}], False),
    ],
)
def test_what_keda_says(conditions, active):
    found = observe(make_app(**IDLE), [scaled_object(*conditions)], None).autoscalers["shop-inference-m"]
    assert found.active is active


def test_keda_that_is_missing_is_said_and_leaves_the_app_ready():
    app = make_app(**IDLE)
    facts = replace(healthy(app), absent_kinds=frozenset({"ScaledObject"}))
    status = status_of(app, facts)
    assert summary(status, "AutoscalingActive")[:2] == ("False", "KEDAMissing")
    assert "there is one pod" in summary(status, "AutoscalingActive")[2]
    assert summary(status, "Ready")[0] == "True"


def test_words_of_keda_reach_the_condition():
    app = make_app(**IDLE)
    autoscalers = {"shop-inference-m": Autoscaler("shop-inference-m", False, "TriggerError", "no Prometheus")}
    status = status_of(app, replace(healthy(app), autoscalers=autoscalers))
    assert summary(status, "AutoscalingActive") == ("False", "TriggerError", "inference/m: no Prometheus")
