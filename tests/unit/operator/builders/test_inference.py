import pytest

from aiapp_operator.build import inference
from aiapp_operator.errors import Stalled
from tests.unit.operator.examples import SETTINGS, make_app

BASE = {"name": "m", "engine": "llamaCpp", "model": {"source": "hf://org/name"}}


def deployment(**fields):
    app = make_app(inference=[BASE | fields])
    return inference.deployment(app, SETTINGS, app.spec.inference[0])


def pod(**fields):
    return deployment(**fields)["spec"]["template"]["spec"]


def main(**fields):
    return pod(**fields)["containers"][0]


def environment(container):
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container.get("env", [])}


LLAMA_BASE = ["--host", "0.0.0.0", "--port", "8000", "--alias", "m", "--metrics"]  # noqa: S104  # inside a pod
SGLANG_MODEL = ["--model-path", "org/name"]
SGLANG_BASE = ["--served-model-name", "m", "--host", "0.0.0.0", "--port", "8000", "--enable-metrics", "--device", "cpu"]  # noqa: S104  # inside a pod
VLLM_BASE = ["--served-model-name", "m", "--host", "0.0.0.0", "--port", "8000"]  # noqa: S104  # inside a pod


@pytest.mark.parametrize(
    ("engine", "model", "args"),
    [
        ("llamaCpp", {"source": "hf://org/name"}, [*LLAMA_BASE, "--hf-repo", "org/name"]),
        (
            "llamaCpp",
            {"source": "hf://org/name/sub/x.gguf"},
            [*LLAMA_BASE, "--hf-repo", "org/name", "--hf-file", "sub/x.gguf"],
        ),
        (
            "llamaCpp",
            {"source": "hf://org/name/x.gguf", "revision": "v2"},
            [*LLAMA_BASE, "--model-url", "https://huggingface.co/org/name/resolve/v2/x.gguf"],
        ),
        ("llamaCpp", {"source": "image://reg/i:1#/a/b.gguf"}, [*LLAMA_BASE, "--model", "/models/b.gguf"]),
        ("llamaCpp", {"source": "pvc://claim/a/b.gguf"}, [*LLAMA_BASE, "--model", "/models/a/b.gguf"]),
        ("llamaCpp", {"source": "file:///a/b.gguf"}, [*LLAMA_BASE, "--model", "/a/b.gguf"]),
        ("vLLM", {"source": "hf://org/name"}, ["org/name", *VLLM_BASE]),
        ("vLLM", {"source": "hf://org/name", "revision": "v2"}, ["org/name", "--revision", "v2", *VLLM_BASE]),
        ("SGLang", {"source": "hf://org/name", "revision": "v2"}, [*SGLANG_MODEL, "--revision", "v2", *SGLANG_BASE]),
        ("SGLang", {"source": "pvc://claim/a"}, ["--model-path", "/models/a", *SGLANG_BASE]),
        ("vLLM", {"source": "oci://reg/i:1#/a/b/"}, ["/models/a/b", *VLLM_BASE]),
        ("vLLM", {"source": "oci://reg/i:1"}, ["/models", *VLLM_BASE]),
        ("vLLM", {"source": "image://reg/i:1#/a/b/"}, ["/models/b", *VLLM_BASE]),
        ("vLLM", {"source": "file:///a/b"}, ["/a/b", *VLLM_BASE]),
    ],
)
def test_command_line(engine, model, args):
    assert main(engine=engine, model=model)["args"] == args


def test_arguments_of_the_user_come_last_and_so_win():
    assert main(args=["--threads", "4"])["args"][-2:] == ["--threads", "4"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"engine": "vLLM", "model": {"source": "hf://org/name/x.gguf"}}, "write hf://org/name"),
        ({"model": {"source": "hf://org/name", "revision": "v2"}}, "add /FILE.gguf to source or remove revision"),
    ],
)
def test_what_an_engine_cannot_serve_is_the_users_to_mend(fields, words):
    with pytest.raises(Stalled, match=words) as caught:
        deployment(**fields)
    assert caught.value.reason == "InvalidSpec"


def test_model_of_an_image_is_copied_without_a_shell():
    spec = pod(model={"source": "image://reg/i:1#/a/b.gguf"})
    assert [c["name"] for c in spec["initContainers"]] == ["copy-model"]
    assert spec["initContainers"][0]["image"] == "reg/i:1"
    assert spec["initContainers"][0]["command"] == ["cp", "-rL", "/a/b.gguf", "/aiapp-models/"]


def test_the_copy_does_not_hide_what_the_image_holds():
    copy = pod(model={"source": "image://reg/i:1#/models/b.gguf"})["initContainers"][0]
    target = copy["volumeMounts"][0]["mountPath"]
    assert copy["command"][-1] == f"{target}/"
    assert not "/models/b.gguf".startswith(target)


def test_claim_is_mounted_read_only():
    spec = pod(model={"source": "pvc://claim/a"})
    volume = next(v for v in spec["volumes"] if v["name"] == "models")
    assert volume["persistentVolumeClaim"] == {"claimName": "claim", "readOnly": True}
    assert next(m for m in spec["containers"][0]["volumeMounts"] if m["name"] == "models")["readOnly"] is True


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "RollingUpdate"),
        ({"gpu": {}}, "Recreate"),
        ({"cache": {"size": "1Gi"}}, "Recreate"),
        ({"cache": {"size": "1Gi", "accessMode": "ReadWriteMany"}}, "RollingUpdate"),
        ({"gpu": {}, "rollout": {"strategy": "RollingUpdate"}}, "RollingUpdate"),
        ({"rollout": {"strategy": "Recreate"}}, "Recreate"),
    ],
)
def test_a_second_pod_never_waits_for_what_the_first_one_holds(fields, expected):
    fields = {"model": {"source": "hf://org/name/m.gguf"}, **fields}
    assert deployment(**fields)["spec"]["strategy"]["type"] == expected


def test_gpus_are_requested_tolerated_and_used():
    fields = {"engine": "vLLM", "gpu": {"count": 4, "runtimeClassName": "nvidia"}}
    spec = pod(**fields)
    resources = spec["containers"][0]["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "4"
    assert spec["runtimeClassName"] == "nvidia"
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    args = spec["containers"][0]["args"]
    assert args[args.index("--tensor-parallel-size") + 1] == "4"
    shared = next(v for v in spec["volumes"] if v["name"] == "shm")
    assert shared["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}


def test_llama_uses_the_gpu_it_was_given():
    assert "--n-gpu-layers" in main(gpu={})["args"]
    assert "--n-gpu-layers" not in main()["args"]


def test_token_of_the_hub_is_a_reference():
    container = main(model={"source": "hf://org/name", "secretRef": {"name": "hub", "key": "token"}})
    assert environment(container)["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "token"}}


def test_a_cached_model_is_read_from_its_volume_and_not_downloaded_again():
    fields = {
        "model": {"source": "hf://org/name/sub/x.gguf", "secretRef": {"name": "hub", "key": "token"}},
        "cache": {"size": "5Gi"},
    }
    spec = pod(**fields)
    container = spec["containers"][0]
    volume = next(v for v in spec["volumes"] if v["name"] == "downloads")
    assert volume["persistentVolumeClaim"]["claimName"] == "shop-inference-m-cache"
    seen = next(m for m in container["volumeMounts"] if m["name"] == "downloads")
    assert seen == {"name": "downloads", "mountPath": "/models", "readOnly": True, "subPath": "models"}
    path = container["args"][container["args"].index("--model") + 1]
    assert path.startswith("/models/")
    assert path.endswith("/sub/x.gguf")
    assert "HF_TOKEN" not in environment(container), "it is for the download alone"


def test_a_model_has_half_an_hour_to_load():
    for engine, path in (("llamaCpp", "/health"), ("vLLM", "/health"), ("SGLang", "/health"), ("custom", "/v1/models")):
        container = main(engine=engine, image="own:1")
        probe = container["startupProbe"]
        assert probe["httpGet"]["path"] == container["readinessProbe"]["httpGet"]["path"] == path
        assert probe["periodSeconds"] * probe["failureThreshold"] == 1800


def test_custom_image_runs_its_own_entrypoint_and_finds_its_model():
    container = main(engine="custom", image="own:1", args=["--x"], model={"source": "file:///m"})
    assert "command" not in container
    assert container["args"] == ["--x"]
    assert environment(container) == {"AIAPP_MODEL_NAME": "m", "PORT": "8000", "AIAPP_MODEL": "/m"}


def test_custom_image_without_a_model():
    container = main(engine="custom", image="own:1", model=None)
    assert "args" not in container
    assert environment(container) == {"AIAPP_MODEL_NAME": "m", "PORT": "8000"}


def test_placement():
    placement = {
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "dedicated", "value": "ai", "effect": "NoSchedule"}, {"operator": "Exists"}],
        "priorityClassName": "high",
    }
    spec = pod(placement=placement)
    assert spec["nodeSelector"] == {"disk": "fast"}
    assert spec["tolerations"] == [
        {"key": "dedicated", "operator": "Equal", "value": "ai", "effect": "NoSchedule"},
        {"operator": "Exists"},
    ]
    assert spec["priorityClassName"] == "high"


@pytest.mark.parametrize("engine", ["vLLM", "SGLang", "llamaCpp", "custom"])
def test_a_mirror_of_the_hub_is_used_by_all(engine):
    app = make_app(inference=[BASE | {"engine": engine, "image": "own:1", "model": {"source": "hf://org/name"}}])
    settings = SETTINGS.model_copy(update={"hub_url": "https://hub.example.com"})
    made = inference.deployment(app, settings, app.spec.inference[0])
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert environment(container)["HF_ENDPOINT"] == "https://hub.example.com"


def test_llama_on_a_volume_needs_a_file():
    with pytest.raises(Stalled, match=r"add /FILE\.gguf"):
        deployment(cache={"size": "1Gi"})
