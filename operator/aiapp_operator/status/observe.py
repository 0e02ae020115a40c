"""Children -> Facts."""

from collections.abc import Iterable

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.facts import BackendHealth, Facts
from aiapp_operator.api.manifest import Manifest


def observe(app: AIApp, children: Iterable[Manifest], backends: BackendHealth | None) -> Facts:
    """What the cached `children` of `app` (Pods included) say. Never raises, however partial they are."""
    raise NotImplementedError
