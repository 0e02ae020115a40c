"""What the API knows of backends becomes words that say what to do, and that stay the same from look to look."""

import pytest

from aiapp_operator.api.facts import BackendHealth
from aiapp_operator.status.backends import words
from tests.unit.operator.examples import LLAMA, make_app

SPEC = make_app(
    providers=[
        {"name": "openai", "kind": "OpenAI", "apiKeySecretRef": {"name": "llm-keys", "key": "openai"}},
        {"name": "lab", "kind": "OpenAICompatible", "baseURL": "https://lab/v1"},
    ],
    inference=[LLAMA],
).spec
GPT, LAB, LOCAL = "openai/gpt-4o-mini", "lab/org/big", "llama/llama"


def document(status="degraded", *, unserved=(), checks=("llm",), **reasons):
    names = {"gpt": GPT, "lab": LAB, "local": LOCAL}
    backends = [
        {"name": name, "status": "error", "reason": reasons[key], "since": "2026-01-31T12:00:00+00:00"}
        if key in reasons
        else {"name": name, "status": "ok"}
        for key, name in names.items()
    ]
    return {
        "status": status,
        "checks": {name: {"status": "error"} for name in checks},
        "backends": backends,
        "models": [{"name": name, "served": False, "backends": of} for name, of in unserved],
    }


def said(found):
    return words(BackendHealth.from_document(found), SPEC)


RESTRICTED = "the API answers with restrictions: "
CASES = [
    (document(gpt="refused_key"), f"backend {GPT} refuses the API key: put a valid key into Secret llm-keys"),
    (document(lab="refused_key"), f"backend {LAB} refuses the API key: set apiKeySecretRef of provider lab"),
    (document(gpt="out_of_quota"), f"backend {GPT} is out of quota: top up the account, or add another backend"),
    (document(lab="connect"), f"backend {LAB} cannot be reached: check baseURL of provider lab, and the network"),
    (document(local="connect"), f"backend {LOCAL} cannot be reached: see InferenceReady"),
    (document(lab="model_missing"), f"backend {LAB} does not have model org/big: correct backends[].model"),
    (document(gpt="new"), f"backend {GPT} does not serve: see /health of the API"),
    (
        document(gpt="new", checks=("llm", "redis")),
        f"backend {GPT} does not serve: see /health of the API; failing: redis",
    ),
]


@pytest.mark.parametrize(("found", "message"), CASES)
def test_a_backend_that_fails_is_named_with_the_remedy(found, message):
    assert said(found) == ("Degraded", RESTRICTED + message)


def test_a_model_that_nobody_serves_is_the_reason():
    found = document(unserved=[("chat", [GPT])], gpt="refused_key", lab="connect")
    found["backends"][0]["code"] = 401
    message = f"model chat: backend {GPT} refuses the API key (401): put a valid key into Secret llm-keys"
    assert said(found) == ("ModelNotServed", message)


def test_an_object_store_is_told_with_the_remedy():
    found = document(checks=("storage",))
    restricted = RESTRICTED.replace(":", ",")
    gone = "failing: storage (no answer: check spec.objectStore.s3.endpoint, and the network)"
    for message in ("the object store does not answer: TimeoutError", "no answer within 2 s"):
        found["checks"]["storage"]["message"] = message
        assert said(found) == ("Degraded", restricted + gone), "it settles"
    found["checks"]["storage"] = {"status": "error", "message": "the key\n is wrong", "refused": True}
    assert said(found) == ("Degraded", f"{restricted}failing: storage (the key is wrong)")


def test_what_changes_from_look_to_look_is_left_out():
    one, other = document(gpt="server_error"), document(gpt="server_error")
    one["backends"][0] |= {"code": 500, "message": "answered 500", "since": "2026-01-31T12:00:00+00:00"}
    other["backends"][0] |= {"code": 503, "message": "answered 503", "restingUntil": "2026-01-31T12:01:00+00:00"}
    assert BackendHealth.from_document(one) == BackendHealth.from_document(other)


def test_length_is_bounded_whatever_the_api_says():
    many = [(f"model-{n}", [GPT]) for n in range(500)]
    found = document(unserved=many, gpt="refused_key")
    found["backends"] += [{"name": "x" * 10_000, "status": "error", "reason": "connect\n\x00"}] * 500
    reason, message = said(found)
    assert reason == "ModelNotServed"
    assert len(message) <= 1000
    assert message.isprintable()


@pytest.mark.parametrize("odd", [None, "text", [1, None], {"a": 1}])
def test_odd_lists_are_nobody(odd):
    health = BackendHealth.from_document({"status": "healthy", "checks": {}, "backends": odd, "models": odd})
    assert (health.faults, health.unserved) == ((), ())
