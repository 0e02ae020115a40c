import pytest

from aiapp_operator.api.base import Resources
from aiapp_operator.build.duration import seconds
from aiapp_operator.build.resources import memory_limit, resources

DEFAULTS = {"cpu": "100m", "memory": "256Mi", "limit": "512Mi"}


@pytest.mark.parametrize(
    ("given", "requests", "limits"),
    [
        ({}, {"cpu": "100m", "memory": "256Mi"}, {"memory": "512Mi"}),
        ({"requests": {"memory": "1024Mi"}}, {"cpu": "100m", "memory": "1Gi"}, {"memory": "1Gi"}),
        ({"limits": {"memory": "128Mi"}}, {"cpu": "100m", "memory": "128Mi"}, {"memory": "128Mi"}),
        ({"limits": {"cpu": "0.05"}}, {"cpu": "50m", "memory": "256Mi"}, {"cpu": "50m", "memory": "512Mi"}),
        ({"limits": {"cpu": "2"}}, {"cpu": "100m", "memory": "256Mi"}, {"cpu": "2", "memory": "512Mi"}),
        (
            {"requests": {"ephemeral-storage": "1Gi"}},
            {"cpu": "100m", "ephemeral-storage": "1Gi", "memory": "256Mi"},
            {"memory": "512Mi"},
        ),
    ],
)
def test_given_values_win_and_defaults_follow(given, requests, limits):
    result = resources(Resources.model_validate(given), **DEFAULTS)
    assert result == {"requests": requests, "limits": limits}


def test_a_contradiction_of_the_user_is_left_for_the_api_server_to_refuse():
    given = Resources.model_validate({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}})
    result = resources(given, **DEFAULTS)
    assert result["requests"]["memory"] == "2Gi"
    assert result["limits"]["memory"] == "1Gi"


def test_memory_limit_in_bytes():
    assert memory_limit(resources(Resources(), **DEFAULTS)) == 512 * 1024 * 1024


@pytest.mark.parametrize(
    ("text", "expected"), [("5s", 5), ("250ms", 0.25), ("1m30s", 90), ("1h", 3600), ("0s", 0), ("1h1m1s1ms", 3661.001)]
)
def test_durations_in_seconds(text, expected):
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-5s", "5d"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="not a duration"):
        seconds(text)
