"""Requests to /v1/fine_tuning/jobs: what is wrong is said with the name of the field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiapp_service.config import ServiceConfig
from aiapp_service.gateway import Running
from aiapp_service.http.attributes import metadata_of
from aiapp_service.http.errors import ApiError, bad_request
from aiapp_service.pipeline.principal import Principal

_PASSED_ON = frozenset({"hyperparameters", "method", "seed", "suffix"})
_FIELDS = _PASSED_ON | {"model", "training_file", "validation_file", "metadata"}
_MOST_SUFFIX = 64


@dataclass(frozen=True)
class Asked:
    """A job that a client wants: `provider` trains its own model `base`."""

    model: str
    provider: str
    request: dict[str, Any]


def asked_for(body: Mapping[str, Any], running: Running, principal: Principal) -> Asked:
    """What a request asks for.

    Raises:
        ApiError: names the field that is wrong.
    """
    if unknown := sorted(body.keys() - _FIELDS):
        other = unknown[0][:100]
        raise bad_request(f"{other!r} is not supported; there are {', '.join(sorted(_FIELDS))}", other)
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise bad_request("model is required, and has to be one of GET /v1/models", "model")
    provider, base = _trainer(running, name, principal)
    request: dict[str, Any] = {field: body[field] for field in _PASSED_ON if body.get(field) is not None}
    _check_types(request)
    for field in ("training_file", "validation_file"):
        given = body.get(field)
        if given is not None or field == "training_file":
            if not isinstance(given, str) or not given:
                raise bad_request(f"{field} has to name a file that was uploaded with purpose fine-tune", field)
            request[field] = given
    return Asked(name, provider, {**request, "base": base, "metadata": metadata_of(body)})


def _trainer(running: Running, name: str, principal: Principal) -> tuple[str, str]:
    """The first provider of a model that may be asked to train, and how it names the model."""
    route = running.router.routes.get(name)
    if route is None or not route.open_to(principal.tenant, principal.may_ask):
        message = f"there is no model {name[:100]!r}; GET /v1/models lists those there are"
        raise ApiError(404, message, code="model_not_found", param="model")
    config: ServiceConfig = running.config
    trainers = {provider.name for provider in config.providers if provider.fine_tuning}
    model = next((model for model in config.models if model.name == name), None)
    for backend in model.backends if model is not None else ():
        if backend.provider in trainers:
            return str(backend.provider), backend.model
    message = (
        f"model {name!r} cannot be fine-tuned: none of its providers has fineTuning: true "
        "(spec.providers[].fineTuning), or it is fine-tuned already"
    )
    raise bad_request(message, "model", "model_not_tunable")


def _check_types(request: Mapping[str, Any]) -> None:
    for field in ("hyperparameters", "method"):
        if not isinstance(request.get(field, {}), dict):
            raise bad_request(f"{field} has to be an object", field)
    seed, suffix = request.get("seed", 0), request.get("suffix", "-")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise bad_request("seed has to be a whole number", "seed")
    if not isinstance(suffix, str) or not 0 < len(suffix) <= _MOST_SUFFIX:
        raise bad_request(f"suffix has to be a text of at most {_MOST_SUFFIX} characters", "suffix")
