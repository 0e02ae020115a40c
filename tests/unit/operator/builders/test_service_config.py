import pytest
import yaml

from aiapp_operator.api import models
from aiapp_operator.build.service_config import FILE, config_map, rendered_config, service_config
from aiapp_operator.errors import Stalled
from aiapp_service import config as service
from tests import golden
from tests.unit.operator.examples import LLAMA, find, make_app, settled

OPENAI = {"name": "openai", "kind": "OpenAI", "apiKeySecretRef": {"name": "llm-keys", "key": "openai"}}


def test_the_service_reads_what_the_operator_writes(tmp_path):
    app = make_app(
        inference=[LLAMA],
        providers=[OPENAI, {"name": "mock", "kind": "Mock"}],
        models=[
            {
                "name": "chat",
                "backends": [
                    {"inference": "llama"},
                    {"provider": "openai", "model": "gpt", "price": {"inputPer1M": "0.15", "outputPer1M": "0.60"}},
                ],
                "timeouts": {"connect": "500ms", "firstToken": "1m"},
            }
        ],
        workers=[{"name": "emb", "queues": ["embeddings"], "concurrency": 3}],
    )
    rendered = rendered_config(app)
    config = rendered.config
    path = tmp_path / FILE
    path.write_text(config_map(app, rendered)["data"][FILE], encoding="utf-8")
    read = service.load(path)
    assert read == config
    assert read.inference[0].base_url == "http://shop-inference-llama.team.svc:8000/v1"
    assert [backend.model for backend in read.models[0].backends] == ["llama", "gpt"]
    assert read.models[0].timeouts == service.TimeoutsConfig(connect=0.5, first_token=60, idle=30, total=600)
    assert str(read.providers[0].api_key_file) == "/etc/aiapp/credentials/providers/openai"
    assert read.providers[1].api_key_file is None
    assert str(read.database.url_file) == "/etc/aiapp/credentials/postgres/url"
    assert read.workers[0].concurrency == 3


def test_every_file_of_the_configuration_is_mounted():
    app = make_app(providers=[OPENAI], api={"auth": {"apiKeys": {"secretRef": {"name": "keys"}}}})
    config = service_config(app)
    plan, _ = settled(app)
    pod = find(plan, "Deployment/shop-api")["spec"]["template"]["spec"]
    volume = next(v for v in pod["volumes"] if v["name"] == "credentials")["projected"]["sources"]
    mounted = {f"/etc/aiapp/credentials/{item['path']}" for source in volume for item in source["secret"]["items"]}
    assert mounted == {
        str(path) for path in (config.database.url_file, config.redis.url_file, config.providers[0].api_key_file)
    }
    keys = next(m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "api-keys")
    assert keys["mountPath"] == str(config.auth.api_keys_dir)


def _files(value):
    """All paths in a configuration."""
    if isinstance(value, dict):
        return {path for item in value.values() for path in _files(item)}
    if isinstance(value, list):
        return {path for item in value for path in _files(item)}
    return {value} if isinstance(value, str) and value.startswith("/etc/aiapp/") else set()


@pytest.mark.parametrize(
    ("name", "app"), list(golden.apps()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_everything_that_is_configured_is_read_and_mounted(name, app, tmp_path):
    rendered = rendered_config(app)
    path = tmp_path / FILE
    path.write_text(rendered.text, encoding="utf-8")
    assert service.load(path) == rendered.config
    pods = [child["spec"]["template"]["spec"] for child in golden.children(app) if child["kind"] == "Deployment"]
    pod = next(pod for pod in pods if pod["containers"][0]["name"] == "api")
    mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    mounted = {mounts["api-keys"]} if "api-keys" in mounts else set()
    for volume in pod["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            (kind,) = source
            mounted |= {f"{mounts[volume['name']]}/{item['path']}" for item in source[kind]["items"]}
    assert _files(yaml.safe_load(rendered.text)) == mounted, name


def test_a_change_of_routes_and_rules_restarts_nothing():
    base = rendered_config(make_app(providers=[OPENAI])).hash
    model = {"name": "chat", "backends": [{"provider": "openai", "model": "gpt"}]}
    changed = make_app(
        providers=[OPENAI],
        models=[model],
        guardrails=[{"name": "pii", "kind": "PII"}],
        budgets=[{"name": "b", "limitUSD": "5"}],
        api={"rateLimit": {"requestsPerMinute": 5}},
    )
    assert rendered_config(changed).hash == base
    assert rendered_config(make_app(monitoring={"tracing": {"endpoint": "http://c:4318"}})).hash != base


def test_missing_secrets_are_noticed_before_the_service_starts():
    app = make_app(providers=[OPENAI], api={"auth": {"apiKeys": {"secretRef": {"name": "keys"}}}})
    plan, _ = settled(app)
    pod = find(plan, "Deployment/shop-api")["spec"]["template"]["spec"]
    check = pod["initContainers"][0]
    named = [entry["valueFrom"]["secretKeyRef"] for entry in check["env"]]
    assert named == [
        {"name": "shop-postgres-api", "key": "url"},
        {"name": "shop-redis", "key": "url"},
        {"name": "llm-keys", "key": "openai"},
    ]
    assert check["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert "env" not in pod["containers"][0]


def test_external_databases_are_read_from_the_users_secrets():
    app = make_app(
        postgres={"external": {"urlSecretRef": {"name": "db", "key": "dsn"}, "poolMax": 7}},
        redis={"external": {"urlSecretRef": {"name": "cache", "key": "url"}}},
    )
    plan, _ = settled(app)
    job = next(m for m in plan.apply if m["kind"] == "Job")
    sources = job["spec"]["template"]["spec"]["volumes"][0]["projected"]["sources"]
    assert [s["secret"]["name"] for s in sources] == ["db"]
    assert sources[0]["secret"]["items"] == [{"key": "dsn", "path": "postgres/url"}]
    assert service_config(app).database.pool_max == 7


def test_hash_changes_with_what_only_a_start_takes_in():
    base = rendered_config(make_app()).hash
    assert base == rendered_config(make_app(api={"replicas": 9}, image="other")).hash
    assert base == rendered_config(make_app(api={"auth": {"anonymous": True}})).hash, "read while running"
    workers = [{"name": "emb", "queues": ["embeddings"]}]
    assert base != rendered_config(make_app(workers=workers)).hash


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"models": [{"name": "chat", "backends": [{"provider": "gone", "model": "x"}]}]},
            "model chat: no provider is named gone",
        ),
        (
            {
                "providers": [{"name": "p", "kind": "Mock"}],
                "models": [{"name": "c", "backends": [{"provider": "p", "model": "x"}], "timeouts": {"idle": "0s"}}],
            },
            "idle",
        ),
    ],
)
def test_contradictions_are_the_users_to_mend(spec, words):
    with pytest.raises(Stalled, match=words) as caught:
        service_config(make_app(**spec))
    assert caught.value.reason == "InvalidSpec"


def test_an_object_store_and_its_access_key(tmp_path):
    s3 = {"bucket": "files", "region": "eu-west-1", "prefix": "shop/", "credentialsSecretRef": {"name": "s3"}}
    app = make_app(objectStore={"s3": s3}, api={"files": {"maxSize": "1Mi"}})
    config = service_config(app)
    assert config.files.max_bytes == 1024 * 1024
    assert config.object_store == service.ObjectStoreConfig(
        bucket="files",
        region="eu-west-1",
        prefix="shop/",
        access_key_file="/etc/aiapp/credentials/object-store/AWS_ACCESS_KEY_ID",
        secret_key_file="/etc/aiapp/credentials/object-store/AWS_SECRET_ACCESS_KEY",
    )
    assert config.object_store.addressing == "virtual"
    pod = find(settled(app)[0], "Deployment/shop-api")["spec"]["template"]["spec"]
    (check,) = pod["initContainers"]
    wanted = [entry["valueFrom"]["secretKeyRef"] for entry in check["env"]]
    assert {"name": "s3", "key": "AWS_ACCESS_KEY_ID"} in wanted
    assert {"name": "s3", "key": "AWS_SECRET_ACCESS_KEY"} in wanted
    (credentials,) = (volume for volume in pod["volumes"] if volume["name"] == "credentials")
    items = [item for source in credentials["projected"]["sources"] for item in source["secret"]["items"]]
    assert {"key": "AWS_ACCESS_KEY_ID", "path": "object-store/AWS_ACCESS_KEY_ID"} in items


def test_a_larger_file_needs_no_new_pods():
    small, large = (make_app(api={"files": {"maxSize": size}}) for size in ("1Mi", "2Mi"))
    assert rendered_config(small).hash == rendered_config(large).hash
    assert rendered_config(small).text != rendered_config(large).text


def test_another_object_store_needs_new_pods():
    def store(bucket):
        return {"s3": {"endpoint": "http://s3", "bucket": bucket, "credentialsSecretRef": {"name": "s3"}}}

    assert len({rendered_config(make_app(objectStore=store(name))).hash for name in ("one-bucket", "two-bucket")}) == 2


def test_every_price_of_the_service_can_be_given_and_reaches_it():
    for ours, theirs in ((models.Price, service.PriceConfig), (models.LongContextPrice, service.LongContextPrices)):
        assert {f.alias for f in ours.model_fields.values()} == {f.alias for f in theirs.model_fields.values()}
    fields = {
        f.alias: f"0.{number}" for number, f in enumerate(models.TokenPrices.model_fields.values(), start=1) if f.alias
    }
    price = {**fields, "longContext": {**fields, "overTokens": 200_000}}
    app = make_app(
        providers=[OPENAI],
        models=[{"name": "chat", "backends": [{"provider": "openai", "model": "gpt", "price": price}]}],
    )
    found = service_config(app).models[0].backends[0].price
    assert found is not None
    assert found.model_dump(mode="json", by_alias=True, exclude_defaults=True) == price


@pytest.mark.parametrize("wanted", [{}, {"responses": "Relay"}, {"responses": "Translate"}])
def test_how_responses_are_asked_is_passed_on(wanted):
    """Unset stays unset: the service knows what is usual with each kind, and old configurations stay as they are."""
    provider = {"name": "lab", "kind": "OpenAICompatible", "baseURL": "https://lab.example.com/v1", **wanted}
    found = yaml.safe_load(rendered_config(make_app(providers=[provider])).text)["providers"][0]
    assert found.get("responses") == wanted.get("responses")


@pytest.mark.parametrize("wanted", ["Relay", "Translate"])
def test_how_inference_is_asked_for_responses_is_passed_on(wanted):
    config = service_config(make_app(inference=[{**LLAMA, "responses": wanted}]))
    assert config.inference[0].relays_responses is (wanted == "Relay")
