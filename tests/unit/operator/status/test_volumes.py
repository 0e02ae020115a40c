"""A volume that grows is told of; the database is Ready meanwhile."""

from dataclasses import replace

import pytest

from aiapp_operator.api.facts import Claim
from aiapp_operator.status.conditions import evaluate
from aiapp_operator.status.volumes import growing
from tests.unit.operator.examples import make_app, settled

CLAIM = Claim("shop-postgres", "uid", requested="20Gi", capacity="10Gi", bound=True)


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (None, ""),
        (CLAIM, "the volume shop-postgres grows from 10Gi to 20Gi"),
        (replace(CLAIM, capacity="20480Mi"), ""),
        (replace(CLAIM, capacity="30Gi"), ""),
        (replace(CLAIM, capacity=""), ""),
        (replace(CLAIM, bound=False), ""),
    ],
)
def test_what_is_said(claim, words):
    assert growing(claim) == words


def test_the_condition_stays_true_and_says_so():
    app = make_app()
    plan, facts = settled(app)
    facts = replace(facts, claims={**facts.claims, "shop-postgres": CLAIM})
    status = evaluate(app, facts, plan, previous=None, now="2026-01-01T00:00:00Z")
    found = {condition["type"]: condition for condition in status["conditions"]}
    assert found["Ready"]["status"] == "True"
    assert found["PostgresReady"]["status"] == "True"
    assert found["PostgresReady"]["reason"] == "VolumeGrowing"
    assert found["PostgresReady"]["message"].endswith("the volume shop-postgres grows from 10Gi to 20Gi")
