"""A configuration that changes while the service runs is taken in as kubelet brings it, and drops nothing."""

from pathlib import Path

import pytest
from openai import OpenAI

from aiapp_service.config import BackendConfig, ModelConfig, ServiceConfig, dump, mock_config
from tests.integration.service.test_alone import alone
from tests.stack.wait import wait_until

SECONDS = 15


class ConfigMap:
    """A folder as kubelet mounts a ConfigMap: a link to a link to the files, swapped as a whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._version = 0
        folder.mkdir()
        self.file = folder / "config.yaml"

    def write(self, text: str) -> None:
        self._version += 1
        version = self._folder / f"..{self._version}"
        version.mkdir()
        (version / "config.yaml").write_text(text, encoding="utf-8")
        scratch = self._folder / "..data_tmp"
        scratch.symlink_to(version.name)
        scratch.rename(self._folder / "..data")
        if not self.file.is_symlink():
            self.file.symlink_to("..data/config.yaml")


def with_models(*names: str) -> ServiceConfig:
    backend = BackendConfig(provider="mock", model="mock-chat")
    models = tuple(ModelConfig(name=name, backends=(backend,)) for name in names)
    return mock_config().model_copy(update={"models": models})


@pytest.fixture
def mounted(tmp_path: Path) -> ConfigMap:
    config_map = ConfigMap(tmp_path / "etc")
    config_map.write(dump(with_models("first")))
    return config_map


def names(client: OpenAI) -> set[str]:
    return {model.id for model in client.models.list()}


def test_new_routes_are_there_and_a_running_stream_goes_on(mounted, tmp_path):
    with (
        alone(tmp_path, "--config", str(mounted.file)) as (url, process),
        OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client,
    ):
        slow = {"x_mock": {"token_seconds": 0.1, "tokens": 60}}
        messages = [{"role": "user", "content": "word"}]
        stream = client.chat.completions.create(model="first", messages=messages, stream=True, extra_body=slow)
        pieces = [next(iter(stream))]
        mounted.write(dump(with_models("second")))
        wait_until("the new model is there", lambda: names(client) == {"second"}, seconds=SECONDS)
        pieces += list(stream)
        assert pieces[-1].choices[0].finish_reason == "stop"
        assert sum(bool(piece.choices[0].delta.content) for piece in pieces) == 60
        assert client.chat.completions.create(model="second", messages=messages).choices
        assert process.poll() is None


@pytest.mark.parametrize("wrong", ["models: [{name: x, backends: [{provider: nobody, model: m}]}]", "{", "models: 5"])
def test_what_is_wrong_changes_nothing_and_is_said(mounted, tmp_path, wrong):
    with (
        alone(tmp_path, "--config", str(mounted.file)) as (url, _),
        OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client,
    ):
        mounted.write(wrong)
        log = tmp_path / "log"
        wait_until("it is said", lambda: "configuration not taken in" in log.read_text(), seconds=SECONDS)
        assert names(client) == {"first"}
        mounted.write(dump(with_models("third")))
        wait_until("the next one is taken in", lambda: names(client) == {"third"}, seconds=SECONDS)


def test_a_file_that_goes_for_a_moment_changes_nothing(mounted, tmp_path):
    with (
        alone(tmp_path, "--config", str(mounted.file)) as (url, _),
        OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client,
    ):
        mounted.file.rename(mounted.file.with_suffix(".gone")).rename(mounted.file)
        mounted.write(dump(with_models("second")))
        wait_until("the new model is there", lambda: names(client) == {"second"}, seconds=SECONDS)
