"""What makes two requests the same: everything that shapes the answer, and whose answer it is."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from aiapp_service.config import BackendConfig, ServiceConfig

# How the answer is sent, who is noted for it, and where else it is kept: none of it changes what is said.
NOT_SHAPING = frozenset(
    {"stream", "stream_options", "user", "safety_identifier", "metadata", "store", "prompt_cache_key"}
)
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def shaping(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request that shape its answer."""
    return {name: value for name, value in body.items() if name not in NOT_SHAPING}


def canonical(value: Any) -> bytes:
    """JSON that does not depend on the order of keys or on white space, and on everything else."""
    return _encode(value).encode("ascii")


def digest(*parts: str | bytes) -> bytes:
    """SHA-256 of the parts; where one ends and the next begins counts too."""
    found = hashlib.sha256()
    for part in parts:
        # What a client sends may hold halves of surrogate pairs.
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "big"))
        found.update(data)
    return found.digest()


def fingerprints(config: ServiceConfig) -> dict[str, bytes]:
    """For each model what its backends are: another server or another model of it answers otherwise.

    Prices, weights and keys do not count. Backends may stand in any order: each of them may answer anyway.
    """
    providers = {provider.name: (provider.kind.value, provider.base_url or "") for provider in config.providers}
    inference = {entry.name: ("inference", entry.base_url) for entry in config.inference}

    def place(backend: BackendConfig) -> str:
        if backend.inference is not None:
            kind, url = inference[backend.inference]
        else:
            kind, url = providers[str(backend.provider)]
        return canonical([backend.name, kind, url]).decode()

    return {model.name: digest(*sorted(place(backend) for backend in model.backends)) for model in config.models}
