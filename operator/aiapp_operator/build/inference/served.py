"""Names by which an engine serves its model and its adapters."""

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.inference import Engine
from aiapp_operator.api.models import Backend
from aiapp_operator.errors import Stalled


def name(app: AIApp, backend: Backend) -> str:
    """The model name that is sent to a backend.

    An engine that serves one model knows it by the name of its entry, whatever else the backend calls it.

    Raises:
        Stalled: the backend names an adapter that its entry does not have; reason InvalidSpec.
    """
    given = backend.model or backend.inference or ""
    entry = next((entry for entry in app.spec.inference if entry.name == backend.inference), None)
    if entry is None or entry.engine is Engine.CUSTOM:
        return given
    adapters = {adapter.name for adapter in entry.adapters}
    if given in adapters or not adapters or given == entry.name:
        return given if given in adapters else entry.name
    known = ", ".join(sorted(adapters))
    raise Stalled(
        "InvalidSpec",
        f"spec.models[].backends[].model: inference {entry.name} has no adapter {given}: name one of {known}, or leave "
        "model out for the model itself",
    )
