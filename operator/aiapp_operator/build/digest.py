"""Short digests of JSON values, for names and annotations that change exactly when their content does."""

import hashlib
import json
from typing import Any

LENGTH = 8
# Consonants only: no YAML reader takes such a digest for a number (as it would 02818158 or 12e45678).
_LETTERS = str.maketrans("0123456789abcdef", "bcdfghjklmnpqrst")


def digest(value: Any) -> str:
    """Eight letters (32 bits) over the canonical JSON of `value`."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH].translate(_LETTERS)
