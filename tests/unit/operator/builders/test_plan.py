"""Stages: volume, password, database, migration, revision. Each waits for the one before it."""

from dataclasses import replace

import pytest

from aiapp_operator.api.facts import Claim, Facts, Job, JobState, Workload
from aiapp_operator.api.manifest import ObjectKey, object_key
from aiapp_operator.build.plan import desired
from aiapp_operator.config import Images, Settings
from aiapp_operator.errors import Stalled
from aiapp_operator.kube.requirements import needed_by
from tests.unit.operator.examples import LLAMA, SETTINGS, after, find, keys, make_app, settled

POSTGRES = ObjectKey("StatefulSet", "shop-postgres")
API = ObjectKey("Deployment", "shop-api")


def plan_for(facts, **spec):
    return desired(make_app(**spec), facts, SETTINGS)


def job_name(plan):
    return next(m["metadata"]["name"] for m in plan.apply if m["kind"] == "Job")


def test_volumes_come_before_passwords_and_databases():
    plan = plan_for(Facts())
    assert "PersistentVolumeClaim/shop-postgres" in keys(plan)
    assert plan.secrets == ()
    assert not [key for key in keys(plan) if key.startswith(("StatefulSet", "Deployment", "Job", "ConfigMap"))]


def test_password_once_the_volume_is_seen_and_database_once_it_is_marked():
    claims = {"shop-postgres": Claim("shop-postgres", "pvc-1")}
    plan = plan_for(Facts(claims=claims))
    volume = find(plan, "PersistentVolumeClaim/shop-postgres")
    assert volume["metadata"]["annotations"] == {"aiapp.dev/secrets-made-for": "pvc-1"}
    assert {secret.name for secret in plan.secrets} == {str(key.name) for key in needed_by(volume, plan.secrets)}
    assert all(secret.replace for secret in plan.secrets), "one that is there is of an earlier volume"
    assert [secret.name for secret in plan.secrets] == [
        "shop-postgres",
        "shop-postgres-api",
        "shop-postgres-worker",
        "shop-postgres-superuser",
    ]
    assert str(POSTGRES) not in keys(plan)
    plan = plan_for(Facts(claims={"shop-postgres": Claim("shop-postgres", "pvc-1", secrets_made=True)}))
    assert plan.secrets == ()
    assert str(POSTGRES) in keys(plan)
    assert "StatefulSet/shop-redis" not in keys(plan)


def test_another_volume_gets_passwords_of_its_own_though_the_database_is_there():
    _, facts = settled(make_app())
    fresh = {**facts.claims, "shop-postgres": Claim("shop-postgres", "uid-2")}
    plan = plan_for(replace(facts, claims=fresh))
    assert {secret.owner["uid"] for secret in plan.secrets} == {"uid-2"}
    assert all(secret.replace for secret in plan.secrets)
    assert str(POSTGRES) in keys(plan)


def test_secret_lives_as_long_as_the_volume():
    plan = plan_for(Facts(claims={"shop-postgres": Claim("shop-postgres", "pvc-1")}))
    secret = plan.secrets[0].manifest("p4ss")
    owner = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "shop-postgres", "uid": "pvc-1"}
    assert secret["metadata"]["ownerReferences"] == [owner]
    assert secret["metadata"]["labels"]["aiapp.dev/app"] == "shop"
    assert secret["stringData"] == {
        "username": "aiapp_owner",
        "password": "p4ss",
        "host": "shop-postgres.team.svc",
        "port": "5432",
        "database": "aiapp",
        "url": "postgresql://aiapp_owner:p4ss@shop-postgres.team.svc:5432/aiapp?options=-crole%3Daiapp",
    }


def test_password_is_not_made_again_once_the_database_exists():
    _, facts = settled(make_app())
    assert plan_for(facts).secrets == ()


def test_password_is_made_again_when_a_pod_waits_for_it():
    _, facts = settled(make_app())
    plan = plan_for(replace(facts, missing_secrets=frozenset({"shop-postgres", "llm-keys"})))
    assert [secret.name for secret in plan.secrets] == ["shop-postgres"]


def test_no_password_is_tied_to_a_volume_on_its_way_out():
    _, facts = settled(make_app())
    dying = {**facts.claims, "shop-postgres": Claim("shop-postgres", "uid", deleting=True)}
    plan = plan_for(replace(facts, claims=dying, missing_secrets=frozenset({"shop-postgres"})))
    assert plan.secrets == ()
    assert str(POSTGRES) in keys(plan)


@pytest.mark.parametrize(("policy", "owners"), [("Retain", []), ("Delete", None)])
def test_deletion_policy_decides_who_owns_the_volumes(policy, owners):
    app = make_app(deletionPolicy=policy, inference=[cached("5Gi")])
    plan = desired(app, Facts(), SETTINGS)
    volumes = [m for m in plan.apply if m["kind"] == "PersistentVolumeClaim"]
    assert {m["metadata"]["name"] for m in volumes} == {"shop-postgres", "shop-redis", "shop-inference-hub-cache"}
    assert all(m["metadata"].get("ownerReferences") == owners for m in volumes)


def cached(size):
    return {"name": "hub", "engine": "llamaCpp", "model": {"source": "hf://org/model/m.gguf"}, "cache": {"size": size}}


def test_a_retained_volume_does_not_shrink():
    claims = {"shop-postgres": Claim("shop-postgres", "pvc-1", requested="20Gi")}
    plan = plan_for(Facts(claims=claims))
    volume = find(plan, "PersistentVolumeClaim/shop-postgres")
    assert volume["spec"]["resources"]["requests"]["storage"] == "20Gi"


def test_a_volume_grows_with_the_spec():
    claims = {"shop-postgres": Claim("shop-postgres", "pvc-1", requested="10Gi")}
    plan = plan_for(Facts(claims=claims), postgres={"managed": {"storage": {"size": "20480Mi"}}})
    volume = find(plan, "PersistentVolumeClaim/shop-postgres")
    assert volume["spec"]["resources"]["requests"]["storage"] == "20Gi"


def test_migration_waits_for_postgres():
    claims = {"shop-postgres": Claim("shop-postgres", "uid")}
    facts = Facts(keys=frozenset({POSTGRES}), claims=claims, workloads={POSTGRES: Workload(POSTGRES, desired=1)})
    assert not any(key.startswith("Job/") for key in keys(plan_for(facts)))
    facts = replace(facts, workloads={POSTGRES: Workload(POSTGRES, desired=1, serving=1)})
    assert any(key.startswith("Job/shop-migrate-") for key in keys(plan_for(facts)))


def test_migration_of_an_external_database_starts_at_once():
    plan = plan_for(Facts(), postgres={"external": {"urlSecretRef": {"name": "db", "key": "url"}}})
    assert any(key.startswith("Job/") for key in keys(plan))
    assert not any("postgres" in key for key in keys(plan))


@pytest.mark.parametrize("state", [JobState.ACTIVE, JobState.FAILED])
def test_revision_waits_for_its_migration(state):
    app = make_app()
    plan, facts = settled(app)
    name = job_name(plan)
    waiting = replace(facts, jobs={name: Job(name, state, database="uid")})
    plan = desired(app, waiting, SETTINGS)
    assert f"Job/{name}" in keys(plan)
    assert str(API) not in keys(plan)
    assert plan.hold == {API, ObjectKey("ConfigMap", "shop-config")}


def test_new_image_holds_the_old_revision_until_it_is_migrated():
    app = make_app(workers=[{"name": "emb", "queues": ["embeddings"]}])
    _, facts = settled(app)
    changed = make_app(image="service:2", workers=[{"name": "emb", "queues": ["embeddings"]}])
    plan = desired(changed, facts, SETTINGS)
    assert plan.hold >= {API, ObjectKey("Deployment", "shop-worker-emb"), ObjectKey("ConfigMap", "shop-config")}
    done = after(plan)
    facts = replace(facts, keys=facts.keys | done.keys, jobs=done.jobs)
    plan = desired(changed, facts, SETTINGS)
    assert find(plan, str(API))["spec"]["template"]["spec"]["containers"][0]["image"] == "service:2"
    assert plan.hold == frozenset()


def test_a_change_that_needs_no_migration_has_the_same_job():
    one, _ = settled(make_app())
    two, _ = settled(make_app(api={"replicas": 5}))
    assert job_name(one) == job_name(two)


def test_completed_migration_is_kept_and_an_old_one_is_dropped():
    app = make_app()
    plan, facts = settled(app)
    old = Job("shop-migrate-0ld", JobState.COMPLETE, database="uid")
    facts = replace(facts, jobs={**facts.jobs, old.name: old}, keys=facts.keys | {ObjectKey("Job", old.name)})
    again = desired(app, facts, SETTINGS)
    assert f"Job/{job_name(plan)}" in keys(again)
    assert ObjectKey("Job", old.name) not in again.hold


@pytest.mark.parametrize("executing", [True, False])
def test_migrations_of_two_revisions_do_not_run_at_once(executing):
    """One that executes is waited for; one that cannot start, for example without its image, is given up."""
    app = make_app()
    _, facts = settled(app)
    old = Job("shop-migrate-0ld", JobState.ACTIVE, executing=executing, database="uid")
    plan = desired(app, replace(facts, jobs={old.name: old}), SETTINGS)
    assert any(key.startswith("Job/") for key in keys(plan)) is not executing
    assert (ObjectKey("Job", old.name) in plan.hold) is executing


def test_another_volume_is_migrated_again():
    app = make_app()
    plan, facts = settled(app)
    renewed = replace(facts, claims={**facts.claims, "shop-postgres": Claim("shop-postgres", "uid-2")})
    again = desired(app, renewed, SETTINGS)
    key = ObjectKey("Job", job_name(plan))
    assert str(key) not in keys(again)
    assert key not in again.hold
    assert API in again.hold
    fresh = desired(app, replace(renewed, jobs={}, keys=renewed.keys - {key}), SETTINGS)
    assert find(fresh, str(key))["metadata"]["annotations"]["aiapp.dev/database-uid"] == "uid-2"


def test_without_migrations_nothing_waits():
    plan = plan_for(Facts(), migrations={"enabled": False})
    assert str(API) in keys(plan)
    assert not any(key.startswith("Job/") for key in keys(plan))


def test_model_servers_wait_for_nothing():
    assert "Deployment/shop-inference-llama" in keys(plan_for(Facts(), inference=[LLAMA]))


@pytest.mark.parametrize(
    ("spec", "prefix"),
    [
        ({"networkPolicy": {"enabled": False}}, "NetworkPolicy/"),
        ({"podDisruptionBudget": {"enabled": False}}, "PodDisruptionBudget/"),
    ],
)
def test_parts_that_are_left_out(spec, prefix):
    with_part, _ = settled(make_app())
    without, _ = settled(make_app(**spec))
    assert any(key.startswith(prefix) for key in keys(with_part))
    assert not any(key.startswith(prefix) for key in keys(without))


def test_each_child_once_and_labelled():
    app = make_app(inference=[LLAMA, cached("1Gi")], workers=[{"name": "emb", "queues": ["embeddings"]}])
    plan, _ = settled(app)
    assert len(set(keys(plan))) == len(plan.apply)
    for manifest in plan.apply:
        labels = manifest["metadata"]["labels"]
        assert labels["aiapp.dev/app"] == "shop"
        assert labels["app.kubernetes.io/managed-by"] == "aiapp-operator"
        assert manifest["metadata"]["namespace"] == "team"


def test_another_default_image_rolls_only_the_parts_that_use_it():
    app = make_app(inference=[LLAMA])
    _, facts = settled(app)
    other = Settings(images=Images(llamacpp="llama:other"))
    before = {object_key(m): m for m in desired(app, facts, SETTINGS).apply}
    changed = [str(object_key(m)) for m in desired(app, facts, other).apply if before.get(object_key(m)) != m]
    assert changed == ["Deployment/shop-inference-llama"]


def test_a_spec_that_cannot_be_built_says_which_field():
    app = make_app(
        inference=[{"name": "q", "engine": "vLLM", "model": {"source": "hf://org/model/file.gguf"}}],
    )
    with pytest.raises(Stalled) as caught:
        desired(app, Facts(), SETTINGS)
    assert caught.value.reason == "InvalidSpec"
    assert "spec.inference[q].model.source" in caught.value.message
    assert "hf://org/model" in caught.value.message
