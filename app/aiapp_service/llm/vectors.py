"""Vectors of embeddings in the forms that clients ask for."""

import base64
import struct
from collections.abc import Sequence


def unit(values: Sequence[float]) -> list[float]:
    """The same direction with a length of 1, so that a product of two is their cosine."""
    norm = sum(value * value for value in values) ** 0.5
    return [value / norm for value in values] if norm else list(values)


def encoded(vector: Sequence[float], encoding_format: object) -> list[float] | str:
    """As numbers, or as base64 of 32-bit floats, which OpenAI's SDKs ask for."""
    if encoding_format != "base64":
        return list(vector)
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
