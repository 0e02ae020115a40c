"""What other stores keep beside a vector: whose it is, and attributes under names that every filter language takes."""

import re
from typing import Any

from aiapp_service.retrieval.index import Place

TENANT = "tenant"
STORE = "store"
FILE = "file"
_PREFIX = "attribute_"
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def attribute(key: str) -> str:
    """The name of an attribute: itself, or its bytes where a filter could take it for something else."""
    return f"{_PREFIX}{key}" if _PLAIN.fullmatch(key) else f"{_PREFIX}0x{key.encode().hex()}"


def payload(place: Place) -> dict[str, Any]:
    """Everything beside the vector of a chunk."""
    return {
        TENANT: place.tenant,
        STORE: place.store,
        FILE: place.file,
        **{attribute(key): value for key, value in place.attributes.items()},
    }
