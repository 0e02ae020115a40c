"""List prices of well-known models: what a backend costs when the configuration does not say it."""

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from aiapp_service.config import PriceConfig, ProviderKind

_FILE = Path(__file__).with_name("prices.yaml")
# How providers mark the state of a model that its name stands for.
_SNAPSHOT = re.compile(r"-(latest|\d{4}-\d{2}-\d{2}|\d{8}|\d{3})$")


def list_price(kind: ProviderKind, model: str) -> PriceConfig | None:
    """What the provider's price list says; None where it is not known, which is not the same as free.

    The model's own name comes first, then the name that it is a snapshot of, then patterns.
    """
    if kind not in (ProviderKind.OPENAI, ProviderKind.ANTHROPIC, ProviderKind.GOOGLE):
        return None
    name = model.removeprefix("models/")
    known = _lists()[kind]
    for wanted in (name, _SNAPSHOT.sub("", name)):
        if wanted in known:
            return _price(kind, wanted)
    pattern = next((pattern for pattern in known if "*" in pattern and fnmatchcase(name, pattern)), None)
    return None if pattern is None else _price(kind, pattern)


@lru_cache(maxsize=1)
def _lists() -> dict[str, dict[str, Any]]:
    """Kind of provider -> name or pattern -> fields of the price. Read when the first backend needs it."""
    document = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return {
        kind: {name: entry["price"] for entry in entries for name in entry["models"]}
        for kind, entries in document.items()
    }


@lru_cache(maxsize=256)
def _price(kind: str, name: str) -> PriceConfig:
    return PriceConfig.model_validate(_lists()[kind][name])
