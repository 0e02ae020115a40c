"""Short digests of JSON values, for names and annotations that change exactly when their content does."""

import hashlib
import json
from typing import Any

LENGTH = 8


def digest(value: Any) -> str:
    """Eight hexadecimal digits over the canonical JSON of `value`."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]
