"""One login for each component, and new ones when the user asks for a rotation."""

from dataclasses import replace

from sqlalchemy import make_url

from aiapp_operator.api import names
from aiapp_operator.api.facts import Claim, Facts
from aiapp_operator.api.manifest import ObjectKey
from aiapp_operator.build.plan import desired
from tests.unit.operator.examples import SETTINGS, find, make_app, settled

POSTGRES = ObjectKey("StatefulSet", "shop-postgres")
REDIS = ObjectKey("StatefulSet", "shop-redis")


def rotated(value, facts):
    app = make_app()
    app.metadata["annotations"] = {names.ANNOTATION_ROTATE: value}
    return desired(app, facts, SETTINGS)


def written(facts, plan):
    """Facts after `plan` was carried out, as far as rotations go."""
    workloads = {}
    for key, workload in facts.workloads.items():
        annotations = find(plan, str(key))["metadata"].get("annotations", {})
        workloads[key] = replace(workload, rotation=annotations.get(names.ANNOTATION_ROTATION, ""))
    return replace(facts, workloads=workloads)


def test_each_component_has_a_login_of_its_own():
    plan = desired(make_app(), Facts(claims={"shop-postgres": Claim("shop-postgres", "u")}), SETTINGS)
    values = {secret.name: secret.manifest("pw")["stringData"] for secret in plan.secrets}
    assert {name: entry["username"] for name, entry in values.items()} == {
        "shop-postgres": "aiapp_owner",
        "shop-postgres-api": "aiapp_api",
        "shop-postgres-worker": "aiapp_worker",
        "shop-postgres-superuser": "postgres",
    }
    for entry in values.values():
        url = make_url(entry["url"])
        assert (url.username, url.password, url.host) == (entry["username"], "pw", "shop-postgres.team.svc")
        assert url.query == ({"options": "-crole=aiapp"} if entry["username"] == "aiapp_owner" else {})


def test_the_service_never_sees_the_superuser():
    plan, _ = settled(make_app(workers=[{"name": "emb", "queues": ["embeddings"]}]))
    used = {}
    for manifest in plan.apply:
        if manifest["kind"] in {"Deployment", "Job"}:
            volumes = manifest["spec"]["template"]["spec"]["volumes"]
            sources = next(v["projected"]["sources"] for v in volumes if v["name"] == "credentials")
            label = manifest["metadata"]["labels"][names.LABEL_COMPONENT]
            used[label] = [s["secret"]["name"] for s in sources if "postgres" in s["secret"]["name"]]
    assert used == {"api": ["shop-postgres-api"], "worker": ["shop-postgres-worker"], "migrate": ["shop-postgres"]}


def test_a_rotation_replaces_every_secret_once_and_restarts_no_pod():
    before, facts = settled(make_app())
    plan = rotated("2026-11", facts)
    assert {secret.name for secret in plan.secrets} == {
        "shop-postgres",
        "shop-postgres-api",
        "shop-postgres-worker",
        "shop-postgres-superuser",
        "shop-redis",
    }
    assert all(secret.replace for secret in plan.secrets)
    users = {secret.template["username"] for secret in plan.secrets}
    assert "aiapp_api" not in users, "the old login stays good for a while"
    for key in (POSTGRES, REDIS, ObjectKey("Deployment", "shop-api")):
        assert find(plan, str(key))["spec"] == find(before, str(key))["spec"]
    after = written(facts, plan)
    assert rotated("2026-11", after).secrets == ()
    assert rotated("2026-12", after).secrets[0].replace


def test_taking_the_annotation_away_rotates_nothing():
    _, facts = settled(make_app())
    after = written(facts, rotated("2026-11", facts))
    plan = desired(make_app(), after, SETTINGS)
    assert plan.secrets == ()
    assert written(after, plan) == after


def test_a_new_app_with_the_annotation_is_made_for_it_at_once():
    claim = Claim("shop-postgres", "u")
    first = rotated("2026-11", Facts(claims={claim.name: claim}))
    users = {secret.template["username"] for secret in first.secrets}
    assert "aiapp_api" not in users
    assert any(user.startswith("aiapp_api_") for user in users)
    assert rotated("2026-11", Facts(claims={claim.name: replace(claim, secrets_made=True)})).secrets == ()
