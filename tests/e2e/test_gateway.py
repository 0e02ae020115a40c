"""What the spec says of access, limits, content and routing holds for requests through the installed product."""

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai import APIStatusError, AuthenticationError, BadRequestError, NotFoundError, OpenAI, RateLimitError

from tests.e2e.apps import MOCK, AppFactory
from tests.stack.aiapp import AppHandle
from tests.stack.client import port_forward, sdk
from tests.stack.wait import wait_until

PLAIN, HASHED, POOR = "plain-key-of-e2e", "hashed-key-of-e2e", "poor-key-of-e2e"
# kubelet takes up to a minute and a half to bring a changed ConfigMap into a pod.
REFRESH_SECONDS = 150
GREETING: list[Any] = [{"role": "user", "content": "hello"}]
PRICE = {"inputPer1M": "1000", "outputPer1M": "1000"}
SPEC: dict[str, Any] = {
    "api": {
        "replicas": 2,
        "auth": {"apiKeys": {"secretRef": {"name": "clients"}}},
        "cors": {"allowedOrigins": ["https://app.example.com"]},
        "rateLimit": {"requestsPerMinute": 600, "per": "Key"},
    },
    "workers": [{"name": "embeddings", "queues": ["embeddings"]}],
    "providers": [MOCK, {"name": "dead", "kind": "OpenAICompatible", "baseURL": "http://127.0.0.1:9/v1"}],
    "models": [
        {
            "name": "chat",
            "strategy": "Weighted",
            "backends": [
                {"provider": "dead", "model": "gone", "weight": 1},
                {"provider": "fake", "model": "mock-chat", "weight": 1, "price": PRICE},
            ],
        },
        {"name": "broken", "backends": [{"provider": "dead", "model": "gone"}]},
    ],
    "prompts": [{"name": "greet", "version": "1", "configMapRef": {"name": "prompts", "key": "greet"}}],
    "cache": {"exact": {"ttl": "10m"}},
    "guardrails": [
        {"name": "mail", "kind": "PII", "stages": ["Input", "Output"], "action": "Redact"},
        {"name": "word", "kind": "Topics", "topics": ["forbidden fruit"], "action": "Block"},
    ],
    "budgets": [{"name": "monthly", "per": "Key", "limitUSD": "5"}],
}


@pytest.fixture(scope="module")
def app(module_apps: AppFactory) -> AppHandle:
    digest = hashlib.sha256(HASHED.encode()).hexdigest()
    keys = {
        "plain": PLAIN,
        "hashed": f"sha256:{digest}",
        "poor": f"key: {POOR}\nmodels: [broken]\nrequestsPerMinute: 3\n",
    }
    module_apps.kube.secret("clients", module_apps.namespace, keys)
    module_apps.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "prompts", "namespace": module_apps.namespace},
            "data": {"greet": "Greet {{ who }} politely."},
        }
    )
    handle = module_apps.apply("gateway", **SPEC)
    handle.wait_condition("APIReady", "True", seconds=240)
    handle.wait_condition("WorkersReady", "True", seconds=120)
    return handle


@pytest.fixture(scope="module")
def url(app: AppHandle) -> Iterator[str]:
    with port_forward(app.kube, app.namespace, f"svc/{app.name}-api", 8080) as base:
        yield base


def said(client: OpenAI, text: str, **fields: Any) -> str:
    answer = client.chat.completions.create(model="chat", messages=[{"role": "user", "content": text}], **fields)
    return answer.choices[0].message.content or ""


def test_keys_are_taken_plain_and_hashed_and_only_for_their_models(url: str) -> None:
    assert said(sdk(url, PLAIN), "one") == "one"
    assert said(sdk(url, HASHED), "two") == "two"
    assert {model.id for model in sdk(url, POOR).models.list()} == {"broken"}
    with pytest.raises(NotFoundError):
        said(sdk(url, POOR), "three")
    digest = hashlib.sha256(HASHED.encode()).hexdigest()
    with pytest.raises(AuthenticationError):
        said(sdk(url, digest), "the hash is no key")


def test_a_keys_own_limit_holds(url: str) -> None:
    client = sdk(url, POOR)
    refused: RateLimitError | None = None
    for _ in range(8):
        try:
            client.chat.completions.create(model="broken", messages=[{"role": "user", "content": "x"}])
        except RateLimitError as error:
            refused = error
            break
        except APIStatusError:
            continue
    assert refused is not None
    assert int(refused.response.headers["retry-after"]) > 0


def test_equal_requests_are_answered_from_the_cache(url: str) -> None:
    client = sdk(url, PLAIN)
    text = f"the very same {time.time_ns()}"
    messages = [{"role": "user", "content": text}]
    seen = []
    for _ in range(2):
        raw = client.chat.completions.with_raw_response.create(model="chat", messages=messages, temperature=0)
        seen.append(raw.headers["x-aiapp-cache"])
        assert raw.parse().choices[0].message.content == text
    assert seen == ["miss", "exact"]


def test_guardrails_redact_and_block(url: str) -> None:
    client = sdk(url, PLAIN)
    assert "someone@example.com" not in said(client, "write to someone@example.com now")
    with pytest.raises(BadRequestError) as blocked:
        said(client, "where is the forbidden fruit")
    assert "word" in str(blocked.value)
    assert "fruit" not in str(blocked.value)


def test_prompts_are_rendered(url: str) -> None:
    client = sdk(url, PLAIN)
    answer = client.chat.completions.create(
        model="chat",
        messages=GREETING,
        extra_body={"prompt": {"id": "greet", "version": "1", "variables": {"who": "Ada"}}},
    )
    assert answer.choices[0].message.content == "hello"
    with pytest.raises(APIStatusError) as missing:
        client.chat.completions.create(model="chat", messages=GREETING, extra_body={"prompt": {"id": "nobody"}})
    assert missing.value.status_code in (400, 404)
    assert "greet" in str(missing.value)


def test_usage_is_in_the_ledger(url: str) -> None:
    client = sdk(url, HASHED)
    said(client, f"count me {time.time_ns()}")

    def counted() -> bool:
        document = client.get("/usage?group_by=key,model", cast_to=object)
        return any(bucket["key"] == "hashed" and bucket["requests"] >= 1 for bucket in document["data"])  # type: ignore[index]

    wait_until("the request is in the ledger", counted, seconds=60)


def test_a_model_that_nobody_serves_is_the_first_cause(app: AppHandle) -> None:
    condition = app.wait_condition("BackendsHealthy", "False", contains="dead/gone", seconds=120)
    assert "broken" in condition["message"]
    app.wait_condition("Ready", "False", contains="BackendsHealthy", seconds=30)


# Last: they change the spec.
def test_routes_change_without_a_restart(app: AppHandle, url: str) -> None:
    pods = {pod["metadata"]["uid"] for pod in app.pods("api")}
    fake = {"name": "chat", "backends": [{"provider": "fake", "model": "mock-chat", "price": PRICE}]}
    app.patch_spec({"models": [fake, {**fake, "name": "new"}]})
    client = sdk(url, PLAIN)
    wait_until(
        "the new model", lambda: {m.id for m in client.models.list()} == {"chat", "new"}, seconds=REFRESH_SECONDS
    )
    assert {pod["metadata"]["uid"] for pod in app.pods("api")} == pods
    app.wait_ready(seconds=120)


def test_a_spent_budget_is_refused_over_all_pods(app: AppHandle, url: str) -> None:
    client = sdk(url, PLAIN)

    def spend() -> None:
        for number in range(40):
            # A thousand dollars a million tokens: each of these costs about half a dollar.
            said(client, f"{number} {time.time_ns()}", max_tokens=500, extra_body={"x_mock": {"tokens": 500}})

    with pytest.raises(RateLimitError) as refused:
        spend()
    assert refused.value.code == "insufficient_quota"
    assert "monthly" in str(refused.value)
    assert said(sdk(url, HASHED), f"others go on {time.time_ns()}")
