"""What an AIApp needs right now, as a pure function of its spec and of what is observed."""

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.facts import Facts
from aiapp_operator.api.plan import PASSWORD, Gate, GeneratedSecret, Plan
from aiapp_operator.config import Settings

__all__ = ["PASSWORD", "Gate", "GeneratedSecret", "Plan", "desired"]


def desired(app: AIApp, facts: Facts, settings: Settings) -> Plan:
    """The plan for `app`.

    Manifests are complete intents without ownerReferences, except where `metadata.ownerReferences`
    is given: then it is the whole truth (empty for data that outlives the AIApp).

    Raises:
        Stalled: the spec cannot be turned into objects; reason InvalidSpec.
    """
    raise NotImplementedError
