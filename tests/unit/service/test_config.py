"""The contract between operator and service."""

import pytest
from pydantic import ValidationError

from aiapp_service.config import ServiceConfig, dump, load, mock_config


def test_what_is_dumped_is_read_back(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(dump(mock_config()))
    assert load(path) == mock_config()


def test_empty_file_is_a_closed_service(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("")
    config = load(path)
    assert not config.auth.anonymous
    assert config.auth.api_keys_dir is None


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"models": [{"name": "m", "backends": [{"provider": "x", "model": "y"}]}]}, "no provider is named x"),
        ({"models": [{"name": "m", "backends": [{"inference": "x", "model": "y"}]}]}, "no inference is named x"),
        ({"models": [{"name": "m", "backends": [{"model": "y"}]}]}, "exactly one of provider, inference"),
        ({"providers": [{"name": "p", "kind": "OpenAICompatible"}]}, "baseURL is required"),
        ({"providers": [{"name": "p", "kind": "Google", "responses": "Relay"}]}, "Relay is for kind OpenAI"),
        ({"unknown": 1}, "Extra inputs"),
        ({"auth": {"jwt": {"issuer": "id", "audiences": ["a"]}}}, "jwksURL or jwksFile is needed"),
        ({"auth": {"jwt": {"issuer": "https://id", "audiences": []}}}, "audiences"),
        ({"cors": {"allowedOrigins": ["https://app.example.com/"]}}, "allowedOrigins"),
        ({"cors": {"allowedOrigins": ["app.example.com"]}}, "allowedOrigins"),
        ({"guardrails": [{"name": "g", "kind": "Pattern"}]}, "guardrail g: patterns is required"),
        (
            {"guardrails": [{"name": "g", "kind": "PromptInjection", "action": "Redact"}]},
            "kind PromptInjection finds",
        ),
        (
            {"guardrails": [{"name": "g", "kind": "JSONSchema", "schemaFile": "/s"}]},
            "JSONSchema is for answers",
        ),
        ({"models": [{"name": "m", "backends": [], "timeouts": {"idle": 0}}]}, "greater than 0"),
    ],
)
def test_wrong_configuration_names_what_is_wrong(document, words):
    with pytest.raises(ValidationError, match=words):
        ServiceConfig.model_validate(document)


@pytest.mark.parametrize(
    ("fields", "relays"),
    [
        ({"kind": "OpenAI"}, True),
        ({"kind": "OpenAI", "responses": "Translate"}, False),
        ({"kind": "OpenAICompatible", "baseURL": "http://x/v1"}, False),
        ({"kind": "OpenAICompatible", "baseURL": "http://x/v1", "responses": "Relay"}, True),
        ({"kind": "Mock"}, False),
    ],
)
def test_who_is_asked_for_responses_as_they_are(fields, relays):
    config = ServiceConfig.model_validate({"providers": [{"name": "p", **fields}]})
    assert config.providers[0].relays_responses is relays
