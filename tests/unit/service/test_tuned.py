"""Models that came of fine-tuning, beside those of the configuration."""

import pytest
from pydantic import ValidationError

from aiapp_service.config import BackendConfig, ModelConfig, ProviderConfig, ProviderKind, ServiceConfig
from aiapp_service.llm.route import Route
from aiapp_service.llm.tuned import Tuned, joined

LAB = ProviderConfig(name="lab", kind=ProviderKind.OPENAI_COMPATIBLE, base_url="http://lab/v1", fine_tuning=True)
CHAT = ModelConfig(name="chat", backends=(BackendConfig(provider="lab", model="base"),))
CONFIG = ServiceConfig(providers=(LAB,), models=(CHAT,))
TUNED = Tuned("ft:base:1", "web", "chat", "lab", "ft:base:1")


def names(config: ServiceConfig) -> list[str]:
    return [model.name for model in config.models]


def test_they_join_those_of_the_configuration():
    found = joined(CONFIG, [TUNED])
    assert names(found) == ["chat", "ft:base:1"]
    assert found.models[1].backends == (BackendConfig(provider="lab", model="ft:base:1"),)
    assert joined(CONFIG, []) is CONFIG


@pytest.mark.parametrize(
    "tuned",
    [
        Tuned("ft:1", "web", "gone", "lab", "ft:1"),
        Tuned("ft:1", "web", "chat", "gone", "ft:1"),
        Tuned("chat", "web", "chat", "lab", "ft:1"),
    ],
    ids=["base is gone", "provider is gone", "name is taken"],
)
def test_what_cannot_route_is_left_out(tuned):
    assert joined(CONFIG, [tuned]) is CONFIG


@pytest.mark.parametrize(
    ("tenant", "models", "is_open"),
    [("web", None, True), ("web", {"chat"}, True), ("web", {"other"}, False), ("other", None, False)],
)
def test_who_may_ask_one(tenant, models, is_open):
    route = Route("ft:base:1", CHAT.kind, (), CHAT.timeouts, tenant="web", base="chat")
    assert route.open_to(tenant, lambda name: models is None or name in models) is is_open


@pytest.mark.parametrize("kind", [ProviderKind.MOCK, ProviderKind.ANTHROPIC, ProviderKind.GOOGLE])
def test_others_do_not_train(kind):
    with pytest.raises(ValidationError, match="fineTuning"):
        ProviderConfig(name="p", kind=kind, fine_tuning=True)
