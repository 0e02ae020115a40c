"""The second Redis: made for the exact cache of a managed Redis, and only for that."""

import pytest
import yaml

from tests.unit.operator.examples import find, keys, make_app, settled

CACHE = "Deployment/shop-redis-cache"
EXACT = {"exact": {"ttl": "10m"}}


@pytest.mark.parametrize(
    ("spec", "made"),
    [
        ({}, False),
        ({"cache": EXACT}, True),
        ({"cache": EXACT, "redis": {"external": {"urlSecretRef": {"name": "r", "key": "url"}}}}, False),
    ],
)
def test_it_is_there_when_it_is_needed(spec, made):
    plan, _ = settled(make_app(**spec))
    named = {"Deployment/shop-redis-cache", "Service/shop-redis-cache", "NetworkPolicy/shop-redis-cache"}
    assert named.intersection(keys(plan)) == (named if made else set())
    config = yaml.safe_load(find(plan, "ConfigMap/shop-config")["data"]["config.yaml"])
    assert ("cacheRedis" in config) is made


def test_the_service_reaches_it_by_a_file_of_its_own():
    plan, _ = settled(make_app(cache=EXACT))
    config = yaml.safe_load(find(plan, "ConfigMap/shop-config")["data"]["config.yaml"])
    assert config["cacheRedis"] == {"urlFile": "/etc/aiapp/credentials/redis/cache-url"}
    check = find(plan, "Deployment/shop-api")["spec"]["template"]["spec"]["initContainers"][0]
    assert {"name": "shop-redis", "key": "cacheUrl"} in [e["valueFrom"]["secretKeyRef"] for e in check["env"]]


def test_only_the_server_for_jobs_keeps_everything():
    plan, _ = settled(make_app(cache=EXACT))
    policies = {}
    for key in (CACHE, "StatefulSet/shop-redis"):
        container = find(plan, key)["spec"]["template"]["spec"]["containers"][0]
        values = {entry["name"]: entry["value"] for entry in container["env"]}
        policies[key] = (values["REDIS_POLICY"], values["REDIS_APPEND"])
    assert policies == {CACHE: ("allkeys-lru", "no"), "StatefulSet/shop-redis": ("noeviction", "yes")}


def test_turning_the_cache_off_takes_it_away():
    _, facts = settled(make_app(cache=EXACT))
    assert any(str(key) == CACHE for key in facts.keys)
    plan, _ = settled(make_app())
    assert CACHE not in keys(plan)
