"""What the gateway asks others for (keys of an identity provider, a verdict, meanings), and what it tells them."""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openai import AuthenticationError, BadRequestError, OpenAI, PermissionDeniedError

from tests.e2e import neighbour
from tests.e2e.apps import MOCK, MOCK_CHAT, AppFactory
from tests.integration.service.identity_provider import AUDIENCE, IdentityProvider
from tests.stack.aiapp import AppHandle
from tests.stack.client import port_forward, sdk
from tests.stack.wait import wait_until

NAME = "neighbour"
TRACE = "0af7651916cd43dd8448eb211c80319c"
CANARY = "nobody shall read this in a trace"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True)
class World:
    """An AIApp and its neighbour, both reached from here."""

    app: AppHandle
    url: str
    neighbour: str
    identity: IdentityProvider

    def sdk(self, **claims: Any) -> OpenAI:
        """Somebody with a token; `claims` are put into it, or taken out by None."""
        return sdk(self.url, self.identity.token(**claims))

    def told(self, path: str) -> list[Any]:
        """What the neighbour has heard."""
        with urllib.request.urlopen(f"{self.neighbour}{path}", timeout=10) as answer:
            found: list[Any] = json.loads(answer.read())
            return found


def run_neighbour(apps: AppFactory, issuer: str) -> None:
    """The pod and its Service."""
    code = Path(neighbour.__file__).read_text(encoding="utf-8")
    named = {"name": NAME, "namespace": apps.namespace}
    apps.kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": named, "data": {"neighbour.py": code}})
    container = {
        "name": "main",
        "image": apps.platform.images["service"],
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "/code/neighbour.py", issuer],
        "securityContext": RESTRICTED,
        "readinessProbe": {"httpGet": {"path": "/spans", "port": neighbour.PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "code", "mountPath": "/code"}],
    }
    spec = {"containers": [container], "volumes": [{"name": "code", "configMap": {"name": NAME}}]}
    labels = {"app": NAME}
    apps.kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {**named, "labels": labels}, "spec": spec})
    ports = {"selector": labels, "ports": [{"port": neighbour.PORT}]}
    apps.kube.apply({"apiVersion": "v1", "kind": "Service", "metadata": named, "spec": ports})
    apps.kube.kubectl("-n", apps.namespace, "wait", "--for=condition=Ready", f"pod/{NAME}", "--timeout=120s")


@pytest.fixture(scope="module")
def world(module_apps: AppFactory) -> Iterator[World]:
    issuer = f"http://{NAME}.{module_apps.namespace}.svc:{neighbour.PORT}"
    identity = IdentityProvider(url=issuer)
    run_neighbour(module_apps, issuer)
    module_apps.kube.secret("moderation", module_apps.namespace, {"key": neighbour.MODERATION_KEY})
    jwt = {"issuer": issuer, "audiences": [AUDIENCE], "tenantClaim": "org"}
    judge = {"url": f"{issuer}/v1/moderations", "apiKeySecretRef": {"name": "moderation", "key": "key"}}
    app = module_apps.apply(
        "content",
        api={"replicas": 1, "auth": {"jwt": jwt}},
        providers=[MOCK, {"name": "near", "kind": "OpenAICompatible", "baseURL": f"{issuer}/v1"}],
        models=[
            MOCK_CHAT,
            {"name": "meaning", "kind": "Embedding", "backends": [{"provider": "near", "model": "meaning"}]},
        ],
        cache={"semantic": {"embeddingModel": "meaning", "threshold": "0.95", "ttl": "1h"}},
        guardrails=[{"name": "judge", "kind": "Moderation", "stages": ["Input", "Output"], **judge}],
        monitoring={"tracing": {"endpoint": issuer}},
    )
    app.wait_condition("APIReady", "True", seconds=240)
    with (
        port_forward(app.kube, app.namespace, f"svc/{app.name}-api", 8080) as url,
        port_forward(app.kube, app.namespace, f"svc/{NAME}", neighbour.PORT) as near,
    ):
        keys = json.dumps(identity.jwks()).encode()
        urllib.request.urlopen(urllib.request.Request(f"{near}/jwks", keys, method="PUT"), timeout=10).close()
        found = World(app, url, near, identity)

        def lets_in() -> bool:
            try:
                return bool(found.sdk(org="acme").models.list())
            except AuthenticationError:
                return False

        wait_until("keys are known", lets_in, seconds=60)
        yield found


def said(client: OpenAI, text: str, **fields: Any) -> tuple[str, str]:
    """The answer, and what the caches had to do with it."""
    messages: list[Any] = [{"role": "user", "content": text}]
    raw = client.chat.completions.with_raw_response.create(model="chat", messages=messages, **fields)
    return raw.parse().choices[0].message.content or "", raw.headers["x-aiapp-cache"]


def test_tokens_of_the_identity_provider_are_taken_and_no_others(world: World) -> None:
    for kid in world.identity.keys:
        assert said(world.sdk(kid=kid, org="acme"), f"hello {kid}")[0] == f"hello {kid}"
    stranger = IdentityProvider(url=world.identity.url, keys={"rsa": world.identity.keys["rsa"]})
    wrong = {
        "another audience": world.identity.token(org="acme", aud="others"),
        "expired": world.identity.token(org="acme", exp=1),
        "another issuer": world.identity.token(org="acme", iss="https://elsewhere.example.com"),
        "no tenant": world.identity.token(),
        "a key that is not known": stranger.token(org="acme", headers={"kid": "other"}),
        "no signature": world.identity.token(org="acme").rpartition(".")[0] + ".",
        "no token": "plain-key",
    }
    taken = []
    for why, token in wrong.items():
        try:
            sdk(world.url, token).models.list()
        except (AuthenticationError, PermissionDeniedError):
            continue
        taken.append(why)
    assert taken == []


def test_moderation_endpoint_is_asked_for_both_ways(world: World) -> None:
    client = world.sdk(org="acme")
    with pytest.raises(BadRequestError) as blocked:
        said(client, "something wicked")
    assert blocked.value.code == "content_filter"
    assert "judge" in str(blocked.value)
    text = "something good for the judge"
    assert said(client, text)[0] == text
    judged = world.told("/judged")
    assert judged.count("something wicked") == 1, "it never reached a model"
    assert judged.count(text) == 2, "as it was asked, and as it was answered"


def test_what_means_the_same_is_answered_from_the_cache_of_the_tenant(world: World) -> None:
    acme, other = world.sdk(org="acme"), world.sdk(org="other")
    first = "how do I get a refund?"
    assert said(acme, first, temperature=0) == (first, "miss")

    def hit() -> bool:
        return said(acme, "a refund, please", temperature=0) == (first, "semantic")

    wait_until("the answer is kept", hit, seconds=20)
    assert said(acme, "how is the weather?", temperature=0) == ("how is the weather?", "miss")
    assert said(other, "a refund, please", temperature=0) == ("a refund, please", "miss"), "another tenant's"


def test_spans_reach_the_collector_without_what_was_said(world: World) -> None:
    client = world.sdk(org="acme")
    parent = f"00-{TRACE}-b7ad6b7169203331-01"
    assert said(client, CANARY, extra_headers={"traceparent": parent})[0] == CANARY
    spans = wait_until(
        "the span", lambda: [span for span in world.told("/spans") if span["trace"] == TRACE], seconds=60
    )
    span = next(span for span in spans if span["name"] == "chat chat")
    assert span["parent"] == "b7ad6b7169203331"
    assert span["attributes"]["gen_ai.operation.name"] == "chat"
    assert span["attributes"]["gen_ai.request.model"] == "chat"
    assert int(span["attributes"]["gen_ai.usage.output_tokens"]) > 0
    assert CANARY not in json.dumps(world.told("/spans"))


def test_prompt_that_is_missing_does_not_keep_the_api_from_starting(world: World) -> None:
    """The ConfigMap does not exist: a new pod starts, says so, and is whole again when it comes."""
    app = world.app
    prompts = [{"name": "greet", "version": "1", "configMapRef": {"name": "greetings", "key": "greet"}}]
    app.patch_spec({"prompts": prompts})
    app.wait_condition("BackendsHealthy", "False", reason="Degraded", contains="content", seconds=180)
    app.wait_condition("APIReady", "True", seconds=120)
    ready = app.conditions()["Ready"]
    assert ready["status"] == "True", ready
    with port_forward(app.kube, app.namespace, f"svc/{app.name}-api", 8080) as url:
        client = sdk(url, world.identity.token(org="acme"))
        assert said(client, "hello again")[0] == "hello again"
    metadata = {"name": "greetings", "namespace": app.namespace}
    app.kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"greet": "Greet."}})
    # kubelet takes up to a minute and a half to bring it.
    app.wait_condition("BackendsHealthy", "True", seconds=180)
