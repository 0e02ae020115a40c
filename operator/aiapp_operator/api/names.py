"""Labels and names of children. Names are a pure function of the AIApp, so a restart finds them again.

No name holds a hash, except that of the migration Job: each revision has a Job of its own.
"""

from enum import StrEnum

from aiapp_operator.api.manifest import Manifest

FIELD_MANAGER = "aiapp-operator"
MANAGED_BY = "aiapp-operator"
WATCH_SELECTOR = f"app.kubernetes.io/managed-by={MANAGED_BY}"

LABEL_APP = "aiapp.dev/app"
LABEL_COMPONENT = "aiapp.dev/component"
LABEL_NAME = "aiapp.dev/name"

ANNOTATION_INTENT = "aiapp.dev/intent"
ANNOTATION_CONFIG_HASH = "aiapp.dev/config-hash"
ANNOTATION_DATABASE = "aiapp.dev/database-uid"  # on migration Jobs: the volume whose database they migrate
LABEL_CNPG_RELOAD = "cnpg.io/reload"
LABEL_CNPG_CLUSTER = "cnpg.io/cluster"  # CloudNativePG's, on the pods of a Cluster
ANNOTATION_REVISION = "aiapp.dev/revision"  # on pod templates: which pods are of the current revision
ANNOTATION_ROTATE = "aiapp.dev/rotate-passwords"  # on the AIApp, set by its user: a new value means new passwords
# On the AIApp, set by its user: a new value means one backup, or one restore drill, now.
ANNOTATION_BACKUP_NOW = "aiapp.dev/backup-now"
ANNOTATION_VERIFY_NOW = "aiapp.dev/verify-restore-now"
ANNOTATION_SECRETS = "aiapp.dev/secrets-made-for"  # on volumes and Clusters: their own uid, once their Secrets are made
ANNOTATION_ASLEEP = "aiapp.dev/asleep"  # on workloads that were set to zero pods since the AIApp sleeps
ANNOTATION_CAPPED = "aiapp.dev/capped"  # on autoscalers: why they may not go as far as asked for
ANNOTATION_HIBERNATION = "cnpg.io/hibernation"  # CloudNativePG's
ANNOTATION_ROTATION = "aiapp.dev/rotation"  # on databases: digest of the value that their passwords were made for

WATCHED_KINDS = (
    "Deployment",
    "StatefulSet",
    "Job",
    "Pod",
    "Service",
    "ConfigMap",
    "ServiceAccount",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "HorizontalPodAutoscaler",
    "CronJob",
)

# Of operators that may not be installed: watched where the API is served, looked for again where it is not.
OPTIONAL_KINDS = ("Cluster", "ScaledObject")


class ComponentName(StrEnum):
    """Values of the label aiapp.dev/component."""

    API = "api"
    WORKER = "worker"
    INFERENCE = "inference"
    POSTGRES = "postgres"
    REDIS = "redis"
    REDIS_CACHE = "redis-cache"
    MIGRATE = "migrate"
    BACKUP = "backup"
    VERIFY = "verify"  # restore drills
    RESTORE = "restore"
    MODEL = "model"  # downloads of weights
    SLEEPING = "sleeping"  # answers in the place of an API that sleeps


# Components of Jobs that work on backups or download; all other Jobs are migrations.
RUNS = frozenset({ComponentName.BACKUP, ComponentName.VERIFY, ComponentName.RESTORE, ComponentName.MODEL})


class DatabaseRole(StrEnum):
    """Who logs in to the database; each has a generated Secret of its own."""

    OWNER = "owner"  # owns database and schema: migrations, people
    API = "api"  # reads and writes rows
    WORKER = "worker"  # reads and writes rows
    SUPERUSER = "superuser"  # the operator's own Jobs, such as backups; never the service


def selector(app: str, component: ComponentName, entry: str = "") -> dict[str, str]:
    """The labels that select the pods of one component; never changes, since selectors are immutable."""
    labels = {LABEL_APP: app, LABEL_COMPONENT: component.value}
    return {**labels, LABEL_NAME: entry} if entry else labels


def labels(app: str, component: ComponentName | None = None, entry: str = "") -> dict[str, str]:
    """All labels of a child; `component` is absent for what belongs to the app as a whole."""
    result = {
        "app.kubernetes.io/name": "aiapp",
        "app.kubernetes.io/instance": app,
        "app.kubernetes.io/part-of": app,
        "app.kubernetes.io/managed-by": MANAGED_BY,
        LABEL_APP: app,
    }
    if component is not None:
        result |= {"app.kubernetes.io/component": component.value, **selector(app, component, entry)}
    return result


def app_of(child: Manifest) -> str:
    """Name of the AIApp that `child` belongs to; empty where it carries no such label."""
    return str((child.get("metadata", {}).get("labels") or {}).get(LABEL_APP, ""))


def config(app: str) -> str:
    """ConfigMap with the configuration of the service."""
    return f"{app}-config"


def part(app: str, component: ComponentName, entry: str = "") -> str:
    """Workload, Service and other objects of one component."""
    return f"{app}-{component.value}-{entry}" if entry else f"{app}-{component.value}"


def service_host(app: str, namespace: str, component: ComponentName, entry: str = "") -> str:
    """DNS name of a component's Service; it needs no cluster domain, since pods search for it."""
    return f"{part(app, component, entry)}.{namespace}.svc"


def database_secret(app: str, role: DatabaseRole) -> str:
    """Generated Secret with what `role` needs to log in: username, password, host, port, database, url."""
    base = part(app, ComponentName.POSTGRES)
    return base if role is DatabaseRole.OWNER else f"{base}-{role.value}"


def database_host(app: str, namespace: str) -> str:
    """DNS name of the primary of a CloudNativePG Cluster; CloudNativePG makes the Service."""
    return f"{part(app, ComponentName.POSTGRES)}-rw.{namespace}.svc"


def inference_cache(app: str, entry: str) -> str:
    """PersistentVolumeClaim that keeps a downloaded model."""
    return f"{part(app, ComponentName.INFERENCE, entry)}-cache"


def inference_pods(app: str, entry: str) -> str:
    """Headless Service that resolves to the addresses of the pods of a model server."""
    return f"{part(app, ComponentName.INFERENCE, entry)}-pods"


def migration(app: str, revision: str) -> str:
    """Job that migrates the database to one revision of the service."""
    return f"{app}-migrate-{revision}"


def download(app: str, entry: str, digest: str) -> str:
    """Job that fills the cache of a model server, or cleans it, once for each digest."""
    return f"{part(app, ComponentName.MODEL, entry)}-{digest}"


def run(app: str, component: ComponentName, digest: str) -> str:
    """Job that makes a backup, proves one or restores one, once for each digest."""
    return f"{part(app, component)}-{digest}"


def component_label(component: str, entry: str = "") -> str:
    """How status and messages name a component: `api`, `worker/embeddings`."""
    return f"{component}/{entry}" if entry else component
