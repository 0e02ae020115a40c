"""PostgreSQL run by CloudNativePG: a Cluster of instances with failover, with the roles of database_roles.

Under Retain nothing owns the Cluster, as with the volume of a managed database: it goes on when the AIApp is deleted.
"""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp, DeletionPolicy
from aiapp_operator.api.data import CloudNativePG
from aiapp_operator.api.facts import Cluster
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName, DatabaseRole
from aiapp_operator.api.plan import GeneratedSecret
from aiapp_operator.api.quantity import canonical
from aiapp_operator.build import database_roles, postgres
from aiapp_operator.build.metadata import child
from aiapp_operator.build.resources import memory_limit, resources
from aiapp_operator.config import Settings

KIND = "Cluster"
_MAJORITY = 3  # instances from which one may fail while commits still reach a second one
_OWNER, _DATA = f'"{database_roles.OWNER}"', f'"{database_roles.DATA}"'
_ON_TABLES, _ON_SEQUENCES = "SELECT, INSERT, UPDATE, DELETE ON TABLES", "USAGE, SELECT ON SEQUENCES"
# Run once, by the superuser, in the new database.
_BOOTSTRAP = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    f"CREATE ROLE {_DATA} NOLOGIN",
    f"REVOKE ALL ON DATABASE {_OWNER} FROM PUBLIC",
    f"GRANT CONNECT, TEMPORARY ON DATABASE {_OWNER} TO {_DATA}",
    f"GRANT USAGE ON SCHEMA public TO {_DATA}",
    f"ALTER DEFAULT PRIVILEGES FOR ROLE {_OWNER} GRANT {_ON_TABLES} TO {_DATA}",
    f"ALTER DEFAULT PRIVILEGES FOR ROLE {_OWNER} GRANT {_ON_SEQUENCES} TO {_DATA}",
)


def secrets(app: AIApp, found: Cluster) -> list[GeneratedSecret]:
    """One Secret for each role, owned by the Cluster. Logins keep their names: see docs/adr."""
    owner = {"apiVersion": "postgresql.cnpg.io/v1", "kind": KIND, "name": found.name, "uid": found.uid}
    host = names.database_host(app.name, app.namespace)
    return database_roles.secrets(app, host, owner if found.uid else None, "")


def compute(wanted: CloudNativePG) -> Manifest:
    """Compute resources of each instance."""
    return resources(wanted.resources, cpu="100m", memory="512Mi", limit="1Gi")


def marks(uid: str, rotation: str) -> dict[str, str]:
    """Annotations that say for which Cluster, and for which rotation, its Secrets are made."""
    found = {names.ANNOTATION_SECRETS: uid, names.ANNOTATION_ROTATION: rotation}
    return {name: value for name, value in found.items() if value}


def cluster(app: AIApp, settings: Settings, wanted: CloudNativePG, annotations: dict[str, str]) -> Manifest:
    """The Cluster with its `marks`, none while it is not seen."""
    manifest = child(app, KIND, names.part(app.name, ComponentName.POSTGRES), ComponentName.POSTGRES)
    if app.spec.deletion_policy is DeletionPolicy.RETAIN:
        manifest["metadata"]["ownerReferences"] = []
    if annotations:
        manifest["metadata"]["annotations"] = annotations
    storage = {"size": canonical(wanted.storage.size), "resizeInUseVolumes": True}
    if wanted.storage.storage_class_name:
        storage["storageClass"] = wanted.storage.storage_class_name
    manifest["spec"] = {
        "instances": wanted.instances,
        "imageName": settings.images.cloudnativepg,
        "storage": storage,
        "resources": compute(wanted),
        "enableSuperuserAccess": True,
        "superuserSecret": {"name": names.database_secret(app.name, DatabaseRole.SUPERUSER)},
        "bootstrap": {
            "initdb": {
                "database": database_roles.OWNER,
                "owner": database_roles.OWNER,
                "encoding": "UTF8",
                "dataChecksums": True,
                "postInitApplicationSQL": list(_BOOTSTRAP),
            }
        },
        "managed": {"roles": [_role(app, role) for role in database_roles.GROUPS]},
        "postgresql": {
            "parameters": postgres.parameters(memory_limit(compute(wanted))),
            **_synchronous(wanted.instances),
        },
    }
    return manifest


def _role(app: AIApp, role: DatabaseRole) -> Manifest:
    return {
        "name": database_roles.login(role, ""),
        "ensure": "present",
        "login": True,
        "inherit": True,
        "connectionLimit": -1,
        "inRoles": [database_roles.GROUPS[role]],
        "passwordSecret": {"name": names.database_secret(app.name, role)},
    }


def _synchronous(instances: int) -> Manifest:
    """A commit is confirmed when a second instance has it: none is lost with the primary.

    Of two, the one that is left commits alone: else one failure would stop both.
    """
    if instances == 1:
        return {}
    durability = "required" if instances >= _MAJORITY else "preferred"
    return {"synchronous": {"method": "any", "number": 1, "dataDurability": durability}}
