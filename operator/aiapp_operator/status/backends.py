"""What an API says of its backends, in words that say what to do.

A status has to settle: whatever differs from look to look or from pod to pod (times, which 5xx it was) is left out.
"""

from aiapp_operator.api.app import AIAppSpec
from aiapp_operator.api.facts import BackendFault, BackendHealth, HealthStatus, UnservedModel
from aiapp_operator.api.models import Provider

NOT_SERVED = "ModelNotServed"
_MOST_MODELS = 3
_MOST_FAULTS = 6
_MOST_CHARACTERS = 1000

_WORDS = {
    "rate_limited": "limits its requests: ask the provider for more, or add another backend",
    "out_of_quota": "is out of quota: top up the account, or add another backend",
    "timeout": "does not answer in time: look at its load, or raise timeouts.firstToken",
    "server_error": "answers with server errors: look at its log, or at the provider's status page",
    "broken": "breaks its answers off: look at its log, or at the provider's status page",
}


def words(health: BackendHealth, spec: AIAppSpec) -> tuple[str, str]:
    """Reason and message for an API that is not healthy."""
    if health.words is not None:
        return health.words
    named = bool(health.faults or health.unserved)
    others = [_check(name, health) for name in health.failing if name != "llm" or not named]
    failing = f"failing: {', '.join(others)}" if others else ""
    if health.unserved:
        said = [_model(model, health, spec) for model in health.unserved[:_MOST_MODELS]]
        more = len(health.unserved) - _MOST_MODELS
        return NOT_SERVED, _joined([*said, f"and {more} more models" if more > 0 else "", failing])
    answers = "cannot answer" if health.status is HealthStatus.UNHEALTHY else "answers with restrictions"
    reason = health.status.value.capitalize()
    if not health.faults:
        return reason, f"the API {answers}, {failing or 'failing: no check named'}"
    return reason, f"the API {answers}: {_joined([*_faults(health.faults, spec), failing])}"


def _check(name: str, health: BackendHealth) -> str:
    if name != "storage":
        return name
    remedy = health.storage or "no answer: check spec.objectStore.s3.endpoint, and the network"
    return f"storage ({remedy})"


def _model(model: UnservedModel, health: BackendHealth, spec: AIAppSpec) -> str:
    faults = tuple(fault for fault in health.faults if fault.name in model.backends)
    return f"model {model.name}: {'; '.join(_faults(faults, spec)) or 'no backend serves it'}"


def _faults(faults: tuple[BackendFault, ...], spec: AIAppSpec) -> list[str]:
    said = [f"backend {fault.name} {_fault(fault, spec)}" for fault in faults[:_MOST_FAULTS]]
    more = len(faults) - _MOST_FAULTS
    return [*said, f"and {more} more backends"] if more > 0 else said


def _fault(fault: BackendFault, spec: AIAppSpec) -> str:
    place, _, model = fault.name.partition("/")
    provider = next((provider for provider in spec.providers if provider.name == place), None)
    if fault.reason == "refused_key":
        code = f" ({fault.code})" if fault.code else ""
        return f"refuses the API key{code}: {_key_remedy(provider)}"
    if fault.reason == "model_missing":
        return f"does not have model {model}: correct backends[].model"
    if fault.reason == "connect":
        remedy = "see InferenceReady" if provider is None else f"check baseURL of provider {place}, and the network"
        return f"cannot be reached: {remedy}"
    return _WORDS.get(fault.reason, "does not serve: see /health of the API")


def _key_remedy(provider: Provider | None) -> str:
    if provider is None:
        return "let it serve without one"
    if provider.api_key_secret_ref is None:
        return f"set apiKeySecretRef of provider {provider.name}"
    return f"put a valid key into Secret {provider.api_key_secret_ref.name}"


def _joined(parts: list[str]) -> str:
    text = "; ".join(part for part in parts if part)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."
