"""Vectors that follow from their texts."""

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any

from aiapp_service.llm.vectors import encoded, unit

DIMENSIONS = 256
_MOST_DIMENSIONS = 4096


def embeddings(body: Mapping[str, Any]) -> dict[str, Any]:
    """One for each input."""
    given = body.get("input")
    inputs = given if isinstance(given, list) and not _is_tokens(given) else [given]
    wanted = body.get("dimensions")
    size = min(wanted, _MOST_DIMENSIONS) if isinstance(wanted, int) and wanted > 0 else DIMENSIONS
    data = [
        {
            "object": "embedding",
            "index": n,
            "embedding": encoded(_vector(json.dumps(text), size), body.get("encoding_format")),
        }
        for n, text in enumerate(inputs)
    ]
    tokens = sum(len(text.split()) if isinstance(text, str) else len(text or ()) for text in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": body.get("model"), "usage": usage}


def _is_tokens(given: list[Any]) -> bool:
    return bool(given) and all(isinstance(item, int) for item in given)


def _vector(text: str, size: int) -> list[float]:
    """Unit length; the same text always gives the same vector."""
    raw = hashlib.shake_256(text.encode("utf-8", "replace")).digest(2 * size)
    return unit([value - 32767.5 for value in struct.unpack(f"<{size}H", raw)])
