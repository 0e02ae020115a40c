"""What the API server makes of AIApps: refusals that name the field and the remedy, defaults, what may not change."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.cluster.paths import REPOSITORY
from tests.stack.kube import Kube, Manifest

NAMESPACE = "crd"
KEY = {"secretRef": {"name": "keys"}}
MOCK = {"name": "fake", "kind": "Mock"}
HUB = {"source": "hf://org/name"}
CHAT = {"name": "chat", "backends": [{"provider": "fake", "model": "m"}]}
JWT = {"issuer": "https://id.example.com", "audiences": ["app"]}
URL = {"urlSecretRef": {"name": "db", "key": "url"}}


@pytest.fixture(scope="module")
def kube(api_server: Kube) -> Iterator[Kube]:
    """With the CRD installed, and a namespace for the tests."""
    api_server.install_crd(REPOSITORY / "crds" / "aiapps.aiapp.dev.yaml")
    api_server.namespace(NAMESPACE)
    yield api_server
    api_server.delete("Namespace", NAMESPACE)


def app(spec: dict[str, Any], name: str = "app") -> Manifest:
    meta = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "aiapp.dev/v1alpha1", "kind": "AIApp", "metadata": meta, "spec": spec}


def applied(kube: Kube, manifest: Manifest) -> str:
    """What kubectl says; empty when it is accepted. Nothing is stored."""
    done = kube.kubectl_run(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump(manifest)
    )
    return done.stderr if done.returncode else ""


def inference(**fields: Any) -> dict[str, Any]:
    return {"inference": [{"name": "m", "engine": "vLLM", "model": HUB, **fields}]}


def provider(**fields: Any) -> dict[str, Any]:
    return {"providers": [{"name": "p", "kind": "Mock", **fields}]}


def backend(**fields: Any) -> dict[str, Any]:
    return {"providers": [MOCK], "models": [{"name": "chat", "backends": [fields]}]}


def model(**fields: Any) -> dict[str, Any]:
    return {"providers": [MOCK], "models": [{**CHAT, **fields}]}


def toleration(**fields: Any) -> dict[str, Any]:
    return inference(placement={"tolerations": [fields]})


def api(**fields: Any) -> dict[str, Any]:
    return {"api": fields}


def auth(**fields: Any) -> dict[str, Any]:
    return api(auth=fields)


def guardrail(**fields: Any) -> dict[str, Any]:
    return {"guardrails": [{"name": "g", "kind": "PII", **fields}]}


def s3(**fields: Any) -> dict[str, Any]:
    whole = {"endpoint": "https://s3", "bucket": "files", "credentialsSecretRef": {"name": "s3"}, **fields}
    return {"objectStore": {"s3": {name: value for name, value in whole.items() if value is not None}}}


def semantic(**fields: Any) -> dict[str, Any]:
    embed = {"name": "embed", "kind": "Embedding", "backends": [{"provider": "fake", "model": "e"}]}
    return {"providers": [MOCK], "models": [embed], "cache": {"semantic": {"embeddingModel": "embed", **fields}}}


AGE = "age1fl8n7f4kexmg2xdldatmd2vg7zvv9afqf3d5szh2mfntyfvdevvsjn5h03"


def backup(**fields: Any) -> dict[str, Any]:
    return {**s3(), "postgres": {"managed": {}, "backup": fields}}


def restore_from(**fields: Any) -> dict[str, Any]:
    return {**s3(), "postgres": {"managed": {}, "restoreFrom": fields}}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    # spec, path of the field, words of the remedy
    ({"api": {"replicas": -1}}, "spec.api.replicas", "greater than or equal to 0"),
    ({"api": {"replicas": 1001}}, "spec.api.replicas", "less than or equal to 1000"),
    ({"api": {"replicas": "2"}}, "spec.api.replicas", "expected numeric"),
    ({"api": {"replcas": 2}}, "spec.api.replcas", "not declared in schema"),
    ({"api": {"auth": {"anonymous": True, "apiKeys": KEY}}}, "spec.api.auth", "anonymous: true alone"),
    ({"api": {"auth": {"apiKeys": {}}}}, "spec.api.auth.apiKeys.secretRef", "Required"),
    ({"api": {"auth": {"apiKeys": {"secretRef": {"name": "Wrong Name"}}}}}, "secretRef.name", "should match"),
    ({"api": {"auth": {"apiKeys": {"secretRef": {"name": "x", "namespace": "y"}}}}}, "namespace", "not declared"),
    ({"api": {"resources": {"requests": {"cpu": "a lot"}}}}, "spec.api.resources.requests.cpu", "should match"),
    ({"objectStore": {}}, "spec.objectStore.s3", "Required"),
    (s3(endpoint=None), "spec.objectStore.s3", "give endpoint, or for AWS S3 the region"),
    (s3(endpoint="s3.example.com"), "spec.objectStore.s3.endpoint", "should match"),
    (s3(endpoint="https://user:pass@s3"), "spec.objectStore.s3.endpoint", "should match"),
    (s3(bucket="Uploads"), "spec.objectStore.s3.bucket", "should match"),
    (s3(prefix="no-slash"), "spec.objectStore.s3.prefix", "should match"),
    (s3(credentialsSecretRef=None), "spec.objectStore.s3.credentialsSecretRef", "Required"),
    (api(files={"maxSize": "65Gi"}), "spec.api.files.maxSize", "from 1 to 64Gi"),
    (api(files={"maxSize": 0}), "spec.api.files.maxSize", "from 1 to 64Gi"),
    ({"deletionPolicy": "Keep"}, "spec.deletionPolicy", '"Retain", "Delete"'),
    ({"suspend": "yes"}, "spec.suspend", "boolean"),
    ({"image": "not an image"}, "spec.image", "should match"),
    ({"workers": [{"name": "w", "queues": []}]}, "spec.workers[0].queues", "at least 1"),
    (
        {"workers": [{"name": "w", "queues": ["nobody"]}]},
        "spec.workers[0].queues",
        "the known queues are: embeddings",
    ),
    (
        {"workers": [{"name": "w", "queues": ["embeddings"], "concurrency": 0}]},
        "concurrency",
        "greater than or equal to 1",
    ),
    (api(autoscaling={"minReplicas": 3, "maxReplicas": 2}), "spec.api.autoscaling", "must not be more than"),
    (api(autoscaling={"minReplicas": 0}), "spec.api.autoscaling.minReplicas", "greater than or equal to 1"),
    (api(autoscaling={"metrics": [{"type": "CPU"}]}), "spec.api.autoscaling.metrics[0]", "take averageUtilization"),
    (
        api(autoscaling={"metrics": [{"type": "Pods", "name": "x", "averageUtilization": 5}]}),
        "spec.api.autoscaling.metrics[0]",
        "type Pods takes name and averageValue",
    ),
    ({"workers": [{"name": "W", "queues": ["embeddings"]}]}, "spec.workers[0].name", "should match"),
    ({"workers": [{"queues": ["embeddings"]}]}, "spec.workers", 'omits all key fields ["name"]'),
    ({"workers": [{"name": "w", "queues": ["embeddings"]}] * 2}, "spec.workers", "uplicate"),
    (inference(engine="TGI"), "spec.inference[0].engine", '"vLLM", "SGLang", "llamaCpp", "custom"'),
    (inference(model={"source": "ftp://x"}), "spec.inference[0].model.source", "should match"),
    (inference(model={"source": "ftp://bucket/model"}), "spec.inference[0].model.source", "should match"),
    (inference(model={"source": "file:///a/../b"}), "spec.inference[0].model", "must not contain '..'"),
    (inference(model={"source": "file:///a", "revision": "main"}), "spec.inference[0].model", "remove it"),
    (
        inference(model={"source": "file:///a", "secretRef": {"name": "t", "key": "k"}}),
        "spec.inference[0].model",
        "secretRef is for hf:// sources only",
    ),
    (inference(model={"source": "hf://org/name/file.gguf"}), "spec.inference[0]", "without a file"),
    (inference(engine="llamaCpp", model={**HUB, "revision": "v1"}), "spec.inference[0]", "add the file"),
    (inference(engine="llamaCpp", gpu={}), "spec.inference[0]", "image is required with engine llamaCpp and gpu"),
    (inference(engine="custom"), "spec.inference[0]", "image is required with engine custom"),
    ({"inference": [{"name": "m", "engine": "vLLM"}]}, "spec.inference[0]", "set model.source"),
    (inference(gpu={"count": 0}), "spec.inference[0].gpu.count", "greater than or equal to 1"),
    (inference(gpu={"count": 65}), "spec.inference[0].gpu.count", "less than or equal to 64"),
    (inference(responses="Both"), "spec.inference[0].responses", '"Relay", "Translate"'),
    (inference(port=80), "spec.inference[0].port", "greater than or equal to 1024"),
    (
        inference(model={"source": "file:///m"}, cache={}),
        "spec.inference[0]",
        "cache is for hf:// and s3:// sources only",
    ),
    (inference(cache={"size": "big"}), "spec.inference[0].cache.size", "should match"),
    (inference(rollout={"strategy": "BlueGreen"}), "rollout.strategy", '"Recreate", "RollingUpdate"'),
    (toleration(operator="Equal"), "placement.tolerations[0]", "needs operator: Exists"),
    (toleration(key="k", operator="Exists", value="v"), "placement.tolerations[0]", "has no value"),
    (provider(kind="Cohere"), "spec.providers[0].kind", '"OpenAI", "Anthropic", "Google"'),
    (provider(kind="OpenAI"), "spec.providers[0]", "apiKeySecretRef is required for the kinds OpenAI"),
    (provider(kind="Anthropic"), "spec.providers[0]", "apiKeySecretRef is required"),
    (provider(kind="Google"), "spec.providers[0]", "apiKeySecretRef is required"),
    (provider(kind="OpenAICompatible"), "spec.providers[0]", "baseURL is required"),
    (provider(baseURL="https://x.example/v1"), "spec.providers[0]", "remove them"),
    (provider(responses="Relay"), "spec.providers[0]", "responses: Relay is for the kinds OpenAI and OpenAICompatible"),
    (provider(responses="Both"), "spec.providers[0].responses", '"Relay", "Translate"'),
    (provider(fineTuning=True), "spec.providers[0]", "fineTuning is for the kinds OpenAI and OpenAICompatible"),
    (provider(kind="OpenAICompatible", baseURL="llm.example.com"), "spec.providers[0].baseURL", "should match"),
    (backend(model="m"), "spec.models[0].backends[0]", "exactly one of inference, provider"),
    (backend(provider="fake", inference="m", model="m"), "backends[0]", "exactly one of inference, provider"),
    (backend(provider="fake"), "spec.models[0].backends[0]", "model is required with provider"),
    (backend(provider="nobody", model="m"), "spec", "must be the name of an entry of spec.providers"),
    (backend(inference="nobody"), "spec", "must be the name of an entry of spec.inference"),
    (backend(provider="fake", model="m", price={"inputPer1M": 0.15}), "price.inputPer1M", "string"),
    (backend(provider="fake", model="m", price={"inputPer1M": "cheap"}), "price.inputPer1M", "should match"),
    (model(backends=[]), "spec.models[0].backends", "at least 1"),
    (model(kind="Image"), "spec.models[0].kind", '"Chat", "Embedding"'),
    (model(timeouts={"total": "10"}), "spec.models[0].timeouts.total", "should match"),
    (model(timeouts={"total": "-1s"}), "spec.models[0].timeouts.total", "should match"),
    (
        {"postgres": {"managed": {}, "external": URL}},
        "spec.postgres",
        "exactly one of managed, cloudNativePG, external",
    ),
    ({"postgres": {"managed": {}, "cloudNativePG": {}}}, "spec.postgres", "one of managed, cloudNativePG"),
    ({"postgres": {"cloudNativePG": {"instances": 0}}}, "spec.postgres.cloudNativePG.instances", "greater than"),
    ({"postgres": {"cloudNativePG": {"version": "16"}}}, "spec.postgres.cloudNativePG.version", "17"),
    ({"postgres": {"external": {"url": "postgresql://x"}}}, "spec.postgres.external.url", "not declared"),
    ({"postgres": {"managed": {"version": "9"}}}, "spec.postgres.managed.version", "17"),
    ({"postgres": {"external": {**URL, "poolMax": 0}}}, "poolMax", "greater than or equal to 1"),
    ({"redis": {"managed": {}, "external": URL}}, "spec.redis", "exactly one of managed, external"),
    ({"redis": {"managed": {"storage": {"size": "0"}}}}, "spec.redis.managed.storage.size", "more than 0"),
    ({"migrations": {"enabled": "no"}}, "spec.migrations.enabled", "boolean"),
    (model(strategy="Random"), "spec.models[0].strategy", '"Priority", "Weighted"'),
    (
        model(strategy="Weighted", backends=[{"provider": "fake", "model": "m", "weight": 0}]),
        "spec.models[0]",
        "at least one has to be more than 0",
    ),
    (backend(provider="fake", model="m", contextWindow=0), "contextWindow", "greater than or equal to 1"),
    (auth(jwt={"issuer": "https://id.example.com"}), "spec.api.auth.jwt.audiences", "Required"),
    (auth(jwt={**JWT, "issuer": "id.example.com"}), "spec.api.auth.jwt.issuer", "should match"),
    (auth(jwt={**JWT, "jwksURL": "http://id.example.com/keys"}), "spec.api.auth.jwt.jwksURL", "should match"),
    (
        auth(jwt={**JWT, "jwksURL": "https://id.example.com/k", "jwksSecretRef": {"name": "s", "key": "k"}}),
        "spec.api.auth.jwt",
        "one of jwksURL and jwksSecretRef",
    ),
    (auth(jwt=JWT, anonymous=True), "spec.api.auth", "anonymous: true alone"),
    (api(rateLimit={"requestsPerMinute": 0}), "spec.api.rateLimit.requestsPerMinute", "greater than or equal to 1"),
    (api(rateLimit={"per": "User"}), "spec.api.rateLimit.per", '"Key", "Tenant", "IP"'),
    (api(cors={"allowedOrigins": ["app.example.com"]}), "spec.api.cors.allowedOrigins[0]", "should match"),
    (api(trustedProxies=["10.0.0.0/99"]), "spec.api.trustedProxies", "give networks such as 10.0.0.0/8"),
    (api(fetchHosts=["https://x.example"]), "spec.api.fetchHosts[0]", "should match"),
    (guardrail(kind="Pattern"), "spec.guardrails[0]", "patterns is required for kind Pattern"),
    (guardrail(kind="PII", patterns=["x"]), "spec.guardrails[0]", "patterns is for kind Pattern only"),
    (guardrail(kind="Length"), "spec.guardrails[0]", "maxCharacters is required for kind Length"),
    (guardrail(kind="Topics"), "spec.guardrails[0]", "topics is required for kind Topics"),
    (guardrail(kind="JSONSchema", stages=["Output"]), "spec.guardrails[0]", "schemaRef is required"),
    (guardrail(kind="JSONSchema", schemaRef={"name": "s", "key": "k"}), "spec.guardrails[0]", "set stages: [Output]"),
    (guardrail(kind="Moderation"), "spec.guardrails[0]", "url is required for kind Moderation"),
    (guardrail(kind="PromptInjection", action="Redact"), "spec.guardrails[0]", "use Block or Audit"),
    (guardrail(stages=[]), "spec.guardrails[0].stages", "at least 1"),
    (
        {"vectorStore": {"pgvector": {}, "qdrant": {"url": "http://qdrant:6333"}}},
        "spec.vectorStore",
        "at most one of pgvector, qdrant, pinecone",
    ),
    ({"vectorStore": {"embeddingModel": "embed"}}, "spec", "vectorStore.embeddingModel must be the name of an entry"),
    ({"vectorStore": {"qdrant": {"url": "qdrant:6333"}}}, "spec.vectorStore.qdrant.url", "should match"),
    ({"cache": {"semantic": {"embeddingModel": "embed"}}}, "spec", "an entry of spec.models with kind Embedding"),
    (semantic(threshold="0.5"), "spec.cache.semantic.threshold", "between 0.8 and 1"),
    ({"cache": {"exact": {"ttl": "soon"}}}, "spec.cache.exact.ttl", "should match"),
    ({"budgets": [{"name": "b"}]}, "spec.budgets[0].limitUSD", "Required"),
    ({"budgets": [{"name": "b", "limitUSD": "-1"}]}, "spec.budgets[0].limitUSD", "should match"),
    ({"prompts": [{"name": "p", "configMapRef": {"name": "c", "key": "k"}}]}, "spec.prompts", "version"),
    ({"monitoring": {"tracing": {"endpoint": "collector:4318"}}}, "spec.monitoring.tracing.endpoint", "should match"),
    ({"postgres": {"managed": {}, "backup": {}}}, "spec", "need an object store: set objectStore.s3"),
    ({"postgres": {"managed": {}, "restoreFrom": {}}}, "spec", "need an object store: set objectStore.s3"),
    (backup(schedule="0 25 * * *"), "spec.postgres.backup.schedule", "should match"),
    (backup(schedule="@daily"), "spec.postgres.backup.schedule", "should match"),
    (backup(retention="14"), "spec.postgres.backup.retention", "should match"),
    (backup(encryption={"recipients": []}), "spec.postgres.backup.encryption.recipients", "at least 1"),
    (backup(encryption={"recipients": ["AGE-SECRET-KEY-1"]}), "encryption.recipients[0]", "should match"),
    (
        backup(encryption={"recipients": [AGE]}),
        "spec.postgres.backup",
        "identitySecretRef is needed for restore drills",
    ),
    (restore_from(backup="yesterday"), "spec.postgres.restoreFrom.backup", "should match"),
]


@pytest.mark.parametrize(("spec", "field", "remedy"), REFUSED)
def test_what_is_wrong_is_refused_with_field_and_remedy(kube: Kube, spec, field, remedy) -> None:
    refused = applied(kube, app(spec))
    assert field in refused
    assert remedy in refused


@pytest.mark.parametrize("name", ["a" * 41, "1app", "my.app"])
def test_names_that_children_could_not_have(kube: Kube, name: str) -> None:
    assert "metadata.name: at most 40 characters" in applied(kube, app({}, name))


def test_names_of_app_and_inference_fit_together(kube: Kube) -> None:
    spec = inference(name="m" * 30)
    assert applied(kube, app(spec, "a" * 17)) == ""
    assert "together with metadata.name" in applied(kube, app(spec, "a" * 18))


SAMPLES = sorted((REPOSITORY / "config" / "samples").glob("*.yaml"))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_samples_are_accepted(kube: Kube, path) -> None:
    sample = yaml.safe_load(path.read_text(encoding="utf-8"))
    sample["metadata"]["namespace"] = NAMESPACE
    assert applied(kube, sample) == ""


CNPG: dict[str, Any] = {"postgres": {"cloudNativePG": {"instances": 3}}}
CHANGES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    # first, then, words of the refusal; empty: accepted
    ({}, {"postgres": {"external": URL, "managed": None}}, "cannot be swapped in place"),
    ({}, {"postgres": {"cloudNativePG": {}, "managed": None}}, "cannot be swapped in place"),
    (CNPG, {"postgres": {"cloudNativePG": {"storage": {"size": "5Gi"}}}}, "size cannot shrink"),
    (CNPG, {"postgres": {"cloudNativePG": {"storage": {"storageClassName": "o"}}}}, "storageClassName cannot change"),
    (CNPG, {"postgres": {"cloudNativePG": {"instances": 2, "storage": {"size": "50Gi"}}}}, ""),
    ({"redis": {"external": URL}}, {"redis": {"managed": {}, "external": None}}, "cannot be swapped in place"),
    ({}, {"postgres": {"managed": {"storage": {"size": "5Gi"}}}}, "size cannot shrink"),
    ({}, {"postgres": {"managed": {"storage": {"size": "50Gi"}}}}, ""),
    ({}, {"postgres": {"managed": {"storage": {"storageClassName": "other"}}}}, "storageClassName cannot change"),
    (inference(cache={}), {"inference": [{"name": "m", "engine": "vLLM", "model": HUB}]}, "cache cannot be removed"),
    (inference(cache={}), {"inference": []}, ""),
    (inference(), inference(cache={}), ""),
    (
        {"redis": {"managed": {"storage": {"storageClassName": "fast"}}}},
        {"redis": {"managed": {"storage": {"storageClassName": None}}}},
        "storageClassName cannot change",
    ),
    ({}, {"deletionPolicy": "Delete"}, ""),
    ({"suspend": True}, {"suspend": None}, ""),
    (backup(), {"postgres": {"backup": None}}, ""),
    (backup(encryption={"recipients": [AGE]}, verifyRestore={"enabled": False}), {"suspend": True}, ""),
    (backup(schedule="*/5 0-6,22 1 * 1-5", retention="1w3d"), {"suspend": True}, ""),
    (backup(), restore_from(), "restoreFrom is for a new AIApp"),
    (restore_from(), {"postgres": {"restoreFrom": {"backup": "2026-11-24T02-00-00Z"}}}, ""),
    (restore_from(), {"postgres": {"restoreFrom": None}}, ""),
]


@pytest.mark.parametrize(("first", "then", "words"), CHANGES)
def test_what_may_change_in_place(kube: Kube, first, then, words) -> None:
    kube.apply(app(first, "changing"))
    try:
        patch = yaml.safe_dump({"spec": then})
        done = kube.kubectl_run("-n", NAMESPACE, "patch", "aiapp", "changing", "--type=merge", "-p", patch)
        assert (done.returncode == 0) is (words == ""), done.stderr
        assert words in done.stderr
    finally:
        kube.delete("AIApp", "changing", NAMESPACE)


@pytest.fixture
def smallest(kube: Kube) -> Iterator[Manifest]:
    yield kube.apply(app({}, "smallest"))
    kube.delete("AIApp", "smallest", NAMESPACE)


def test_defaults(smallest: Manifest) -> None:
    spec = smallest["spec"]
    assert spec["api"]["replicas"] == 2
    assert spec["api"]["auth"]["anonymous"] is False
    assert spec["deletionPolicy"] == "Retain"
    assert spec["suspend"] is False
    assert spec["migrations"] == spec["networkPolicy"] == spec["podDisruptionBudget"] == {"enabled": True}
    assert spec["postgres"]["managed"] == {"version": "17", "storage": {"size": "10Gi"}, "resources": {}}
    assert spec["redis"]["managed"]["storage"]["size"]
    assert smallest["status"]["observedGeneration"] == -1, "an untouched object never reads as current"


def test_scale_and_columns(kube: Kube, smallest: Manifest) -> None:
    assert smallest["metadata"]["name"] == "smallest"
    kube.kubectl("-n", NAMESPACE, "scale", "aiapp", "smallest", "--replicas=5")
    scaled = kube.get("AIApp", "smallest", NAMESPACE)
    assert scaled is not None
    assert scaled["spec"]["api"]["replicas"] == 5
    head = kube.kubectl("-n", NAMESPACE, "get", "aia", "-o", "wide").splitlines()[0].split()
    assert head == ["NAME", "READY", "REASON", "API", "URL", "WORKERS", "INFERENCE", "GPUS", "MESSAGE", "AGE"]
    assert "smallest" in kube.kubectl("-n", NAMESPACE, "get", "ai")


@pytest.mark.parametrize("field", ["spec", "spec.api.auth", "spec.inference.model.source", "status.conditions"])
def test_explain_is_documentation(kube: Kube, field: str) -> None:
    explained = kube.kubectl("explain", f"aiapp.{field}")
    assert "<no description>" not in explained.replace("<empty>", "<no description>")
    assert "DESCRIPTION:" in explained


def test_rules_cost_little_enough_for_the_largest_app(kube: Kube) -> None:
    """Every list as long as it may be: the API server still evaluates all rules."""
    largest = {
        "providers": [{"name": f"p{n}", "kind": "Mock"} for n in range(32)],
        "inference": [{"name": f"i{n}", "engine": "vLLM", "model": HUB} for n in range(16)],
        "workers": [{"name": f"w{n}", "queues": ["embeddings"]} for n in range(16)],
        "models": [
            {"name": f"m{n}", "backends": [{"provider": f"p{b}", "model": "x"} for b in range(8)]} for n in range(64)
        ],
    }
    assert applied(kube, app(largest)) == ""


def test_the_same_crd_is_applied_without_a_change(kube: Kube) -> None:
    done = kube.kubectl(
        "diff", "--server-side", "--force-conflicts", "-f", str(REPOSITORY / "crds" / "aiapps.aiapp.dev.yaml")
    )
    assert done == ""
