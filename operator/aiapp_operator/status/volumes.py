"""Volumes that grow: how far they are."""

from aiapp_operator.api.facts import Claim
from aiapp_operator.api.quantity import parse

GROWING = "VolumeGrowing"


def growing(claim: Claim | None) -> str:
    """What to say of a volume that is smaller than it was asked to be; empty where there is nothing to say."""
    if claim is None or not claim.bound or not claim.capacity or not claim.requested:
        return ""
    if parse(claim.capacity) >= parse(claim.requested):
        return ""
    return f"the volume {claim.name} grows from {claim.capacity} to {claim.requested}"
