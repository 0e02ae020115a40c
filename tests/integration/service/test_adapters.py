"""Adapters are model names: from the resource through the gateway to the engine, by the operator's own builders."""

import getpass
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from aiapp_operator.api.app import AIApp
from aiapp_operator.build import inference
from aiapp_operator.build.service_config import service_config
from aiapp_operator.config import Settings
from aiapp_operator.errors import Stalled
from aiapp_service.config import AuthConfig, ServiceConfig
from tests.cluster.paths import REPOSITORY
from tests.integration.servers.processes import Server, free_port, running
from tests.integration.service.conftest import Serve
from tests.stack.wait import wait_until

BASE = [{"inference": "llama", "model": "meta-llama/Llama-3.1-8B-Instruct"}]


def app(port: int, **fields: Any) -> AIApp:
    """The model itself by a name that only people know it by, and two adapters."""
    adapters = [{"name": "support", "source": "file:///lora/support"}, {"name": "legal/v2", "source": "hf://org/legal"}]
    llama = {"name": "llama", "engine": "vLLM", "model": {"source": "file:///m"}, "port": port, "adapters": adapters}
    models = [
        {"name": "chat", "backends": [{"inference": "llama"}]},
        {"name": "help", "backends": [{"inference": "llama", "model": "support"}, {"inference": "llama"}]},
        {"name": "legal", "backends": [{"inference": "llama", "model": "legal/v2"}]},
    ]
    spec = {"inference": [llama], "models": models, **fields}
    return AIApp.model_validate({"metadata": {"name": "app", "namespace": "team"}, "spec": spec})


def container(wanted: AIApp) -> dict[str, Any]:
    deployment = inference.deployment(wanted, Settings(), wanted.spec.inference[0])
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    return found


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[AIApp]:
    """The look-alike with exactly the flags of the pod."""
    port = free_port()
    wanted = app(port)
    command = [sys.executable, "-m", "tests.integration.servers.vllm", "serve", *container(wanted)["args"]]

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    env = {"PYTHONPATH": str(REPOSITORY)}
    with running(Server(command, getpass.getuser(), tmp_path / "engine.log", answers, env)):
        yield wanted


def config(wanted: AIApp) -> ServiceConfig:
    """As the operator renders it, with the engine on loopback."""
    rendered = service_config(wanted)
    place = rendered.inference[0].model_copy(
        update={"base_url": f"http://127.0.0.1:{wanted.spec.inference[0].port}/v1"}
    )
    return ServiceConfig(auth=AuthConfig(anonymous=True), inference=(place,), models=rendered.models)


async def ask(client: AsyncOpenAI, model: str, **more: Any) -> str:
    answer = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Who are you?"}], extra_body=more
    )
    return str(answer.choices[0].message.content)


async def test_each_name_reaches_its_adapter(engine: AIApp, serve: Serve) -> None:
    async with serve(config(engine)) as service:
        client = service.sdk()
        assert await ask(client, "chat") == "I am llama."
        assert await ask(client, "help") == "I am support."
        assert await ask(client, "legal") == "I am legal/v2."


def test_a_name_of_the_hub_means_the_model_itself() -> None:
    wanted = app(8000, models=[{"name": "chat", "backends": BASE}])
    plain = wanted.spec.inference[0].model_copy(update={"adapters": []})
    without = wanted.model_copy(update={"spec": wanted.spec.model_copy(update={"inference": [plain]})})
    assert service_config(without).models[0].backends[0].model == "llama", "the name by which vLLM serves it"


def test_an_adapter_that_is_not_there_is_the_users_to_mend() -> None:
    with pytest.raises(Stalled, match="has no adapter suport: name one of legal/v2, support"):
        service_config(app(8000, models=[{"name": "help", "backends": [{"inference": "llama", "model": "suport"}]}]))


def test_the_pod_drains_by_the_engines_own_gauges(engine: AIApp) -> None:
    command = container(engine)["lifecycle"]["preStop"]["exec"]["command"]
    port = command[4]
    body = b'{"model": "llama", "seconds": 8}'
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    code = (
        f"import urllib.request as u; u.urlopen(u.Request({url!r}, {body!r}, {{'Content-Type': 'application/json'}}))"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as asking:

        def busy() -> bool:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=1) as answer:
                return b" 1.0" in answer.read()

        wait_until("the request is under way", busy, seconds=10)
        subprocess.run(command, check=True, timeout=60)
        assert asking.wait(1) == 0, "it was answered before the pod is told to stop"
