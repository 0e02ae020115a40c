import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from aiapp_operator.api import names
from aiapp_operator.api.facts import BackendHealth, HealthStatus, JobState, Severity
from aiapp_operator.api.manifest import ObjectKey
from aiapp_operator.api.names import ComponentName
from aiapp_operator.status.observe import observe
from tests.unit.operator.examples import make_app
from tests.unit.operator.status.pods import container, pod, ready

API = ObjectKey("Deployment", "shop-api")


def deployment(*, revision="r1", replicas=2, generation=1, observed=1, updated=2, total=2, conditions=()):
    return {
        "kind": "Deployment",
        "metadata": {
            "name": "shop-api",
            "generation": generation,
            "labels": names.labels("shop", ComponentName.API),
        },
        "spec": {
            "replicas": replicas,
            "template": {"metadata": {"annotations": {names.ANNOTATION_REVISION: revision}}},
        },
        "status": {
            "observedGeneration": observed,
            "replicas": total,
            "updatedReplicas": updated,
            "conditions": list(conditions),
        },
    }


def workload(*children):
    return observe(make_app(), children, None).workloads[API]


def test_ready_counts_pods_of_the_current_revision_only():
    found = workload(deployment(revision="r2"), ready(revision="r2"), ready(revision="r1", number=1))
    assert (found.ready, found.serving, found.revision) == (1, 2, "r2")


def test_pods_on_their_way_out_do_not_count():
    leaving = ready(number=1)
    leaving["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z"
    found = workload(deployment(), ready(), leaving)
    assert (found.ready, found.serving) == (1, 1)


def test_nothing_is_ready_until_the_controller_has_seen_the_change():
    found = workload(deployment(generation=2, observed=1), ready(), ready(number=1))
    assert (found.ready, found.serving, found.observed) == (0, 2, False)


def test_a_restart_by_hand_counts_new_pods_only():
    found = workload(deployment(updated=1, total=3), ready(), ready(number=1), ready(number=2))
    assert (found.ready, found.serving, found.pods) == (1, 3, 3)


def test_the_gravest_cause_wins_and_the_order_of_pods_does_not_matter():
    states = [
        pod(containers=[container(waiting=("ContainerCreating", ""))]),
        pod(containers=[container(waiting=("ErrImagePull", "not found"))], number=1),
        pod(containers=[container(terminated={"exitCode": 1})], number=2),
    ]
    causes = {workload(deployment(), *order).cause for order in itertools.permutations(states)}
    assert {(c.severity, c.reason) for c in causes} == {(Severity.FAILED, "CrashLoopBackOff")}


def test_pods_of_an_old_revision_explain_nothing():
    broken = pod(containers=[container(waiting=("ErrImagePull", "not found"))], revision="r0")
    assert workload(deployment(), broken).cause is None


def test_quota_is_named_without_what_others_use():
    message = (
        'pods "shop-api-7d9f-x2x" is forbidden: exceeded quota: team, requested: limits.memory=512Mi, '
        "used: limits.memory=900Mi, limited: limits.memory=1Gi"
    )
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    cause = workload(deployment(conditions=[condition])).cause
    assert (cause.reason, cause.message) == (
        "QuotaExceeded",
        "quota team refuses the pod: it asks for limits.memory=512Mi, allowed are limits.memory=1Gi",
    )


def test_refused_pods_are_explained_without_their_generated_name():
    message = 'pods "shop-api-7d9f-x2x" is forbidden: violates PodSecurity "restricted:latest": hostPath'
    condition = {"type": "ReplicaFailure", "status": "True", "message": message}
    cause = workload(deployment(conditions=[condition])).cause
    assert (cause.reason, cause.message) == (
        "PodRefused",
        'the pod is refused: violates PodSecurity "restricted:latest": hostPath',
    )


def test_a_generated_secret_that_is_gone_is_not_the_users_to_mend():
    waiting = ("CreateContainerConfigError", 'secret "shop-postgres" not found')
    facts = observe(make_app(), [deployment(), pod(init=[container("check-secrets", waiting=waiting)])], None)
    assert facts.missing_secrets == {"shop-postgres"}
    cause = facts.workloads[API].cause
    assert (cause.severity, cause.reason) == (Severity.PROGRESSING, "SecretMissing")


def job(name="shop-migrate-abc", conditions=()):
    labels = names.labels("shop", ComponentName.MIGRATE)
    annotations = {names.ANNOTATION_DATABASE: "pvc-1"}
    metadata = {"name": name, "labels": labels, "annotations": annotations}
    return {"kind": "Job", "metadata": metadata, "status": {"conditions": list(conditions)}}


def job_pod(message, *, exit_code=1, name="shop-migrate-abc"):
    found = pod("migrate", containers=[container("migrate", terminated={"exitCode": exit_code, "message": message})])
    found["metadata"]["labels"]["batch.kubernetes.io/job-name"] = name
    found["status"]["phase"] = "Succeeded" if exit_code == 0 else "Failed"
    return found


def test_migration_that_completed_tells_its_revision():
    done = job(conditions=[{"type": "Complete", "status": "True"}])
    found = observe(make_app(), [done, job_pod('{"migrated": "0002"}\n', exit_code=0)], None).jobs["shop-migrate-abc"]
    assert (found.state, found.result, found.cause, found.database) == (JobState.COMPLETE, "0002", None, "pvc-1")


def test_migration_that_failed_tells_why_without_secrets():
    failed = job(conditions=[{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}])
    message = "running\nOperationalError: postgresql://aiapp:hunter2@db/aiapp: relation exists\n"
    found = observe(make_app(), [failed, job_pod(message)], None).jobs["shop-migrate-abc"]
    assert found.state is JobState.FAILED
    assert found.cause.severity is Severity.STALLED
    assert found.cause.message == "OperationalError: postgresql://[redacted]@db/aiapp: relation exists"


def test_migration_that_runs():
    running = pod("migrate", containers=[container("migrate", running=True)], phase="Running")
    running["metadata"]["labels"]["batch.kubernetes.io/job-name"] = "shop-migrate-abc"
    found = observe(make_app(), [job(), running], None).jobs["shop-migrate-abc"]
    assert (found.state, found.executing) == (JobState.ACTIVE, True)


def test_pods_of_another_job_do_not_count():
    found = observe(make_app(), [job(), job_pod("boom", name="shop-migrate-old")], None).jobs["shop-migrate-abc"]
    assert found.cause is None


def test_claims_and_keys():
    claim = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "shop-postgres", "uid": "u1"},
        "spec": {"resources": {"requests": {"storage": "10Gi"}}},
        "status": {"phase": "Bound"},
    }
    facts = observe(make_app(), [claim, ready()], BackendHealth(HealthStatus.HEALTHY))
    assert facts.claims["shop-postgres"].uid == "u1"
    assert facts.claims["shop-postgres"].requested == "10Gi"
    assert facts.keys == {ObjectKey("PersistentVolumeClaim", "shop-postgres")}
    assert facts.backends == BackendHealth(HealthStatus.HEALTHY)


def test_equal_clusters_give_equal_facts():
    children = [deployment(), ready(), ready(number=1), job()]
    assert observe(make_app(), children, None) == observe(make_app(), list(reversed(children)), None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def damaged(child, path_choices, value):
    """`child` with one branch replaced by `value`."""
    if not path_choices or not isinstance(child, dict | list) or not child:
        return value
    branches = sorted(child) if isinstance(child, dict) else list(range(len(child)))
    chosen = branches[path_choices[0] % len(branches)]
    copy = dict(child) if isinstance(child, dict) else list(child)
    copy[chosen] = damaged(copy[chosen], path_choices[1:], value)
    return copy


@settings(max_examples=300)
@given(st.data())
def test_partial_children_never_raise(data):
    waiting = ("CreateContainerConfigError", 'secret "x" not found')
    children = [
        deployment(conditions=[{"type": "ReplicaFailure", "status": "True", "message": "m"}]),
        ready(),
        pod(init=[container("check-secrets", waiting=waiting)], containers=[container(terminated={"exitCode": 1})]),
        job(conditions=[{"type": "Failed", "status": "True"}]),
        job_pod("boom"),
    ]
    broken = []
    for child in children:
        path = data.draw(st.lists(st.integers(0, 5), max_size=7))
        changed = damaged(child, path, data.draw(json_values))
        broken.append(changed if isinstance(changed, dict) else child)
    observe(make_app(), broken, None)
