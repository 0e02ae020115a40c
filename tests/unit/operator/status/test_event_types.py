"""An Event is a warning where something is wrong, and not where it is merely under way."""

import pytest

from aiapp_operator.status.conditions import transitions


def status(type_: str, value: str, reason: str) -> dict:
    return {"conditions": [{"type": type_, "status": value, "reason": reason, "message": "words"}]}


@pytest.mark.parametrize(
    ("before", "after", "normal"),
    [
        (("APIReady", "False", "Starting"), ("APIReady", "True", "Ready"), True),
        (("APIReady", "True", "Ready"), ("APIReady", "False", "Updating"), True),
        (("Migrated", "True", "Migrated"), ("Migrated", "False", "Migrating"), True),
        (("BackendsHealthy", "True", "Healthy"), ("BackendsHealthy", "Unknown", "NotKnown"), True),
        (("BackendsHealthy", "True", "Healthy"), ("BackendsHealthy", "False", "Degraded"), False),
        (("APIReady", "True", "Ready"), ("APIReady", "False", "CrashLoopBackOff"), False),
        (("Migrated", "False", "Migrating"), ("Ready", "True", "Ready"), True),
        (("Ready", "True", "Ready"), ("Stalled", "True", "SecretMissing"), False),
    ],
)
def test_event_type(before, after, normal):
    found = {t.type: t.normal for t in transitions(status(*before), status(*after))}
    assert found[after[0]] is normal
