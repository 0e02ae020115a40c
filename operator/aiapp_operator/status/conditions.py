"""Facts -> the complete status of an AIApp."""

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.conditions import Transition
from aiapp_operator.api.facts import Facts
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.plan import Plan
from aiapp_operator.errors import ReconcileError


def evaluate(
    app: AIApp,
    facts: Facts,
    plan: Plan | None,
    failure: ReconcileError | None = None,
    *,
    previous: Manifest | None,
    now: str,
) -> Manifest:
    """The complete new status of `app`. `plan` is None when `desired` raised, `failure` is what went wrong.

    `now` (RFC 3339) becomes the lastTransitionTime of conditions whose status moved, of no other.
    """
    raise NotImplementedError


def rejected(generation: int, message: str, previous: Manifest | None, now: str) -> Manifest:
    """The status of an AIApp whose spec this operator cannot read: SpecAccepted=False, Stalled."""
    raise NotImplementedError


def transitions(previous: Manifest | None, new: Manifest) -> list[Transition]:
    """The conditions that moved between two statuses, each worth one Event."""
    raise NotImplementedError
