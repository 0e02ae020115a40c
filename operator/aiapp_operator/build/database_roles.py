"""Who logs in to the operator's databases, and the generated Secret of each.

Rights belong to two roles that cannot log in: `aiapp` owns the database and changes its schema, `aiapp_data` reads
and writes rows. Logins are members of one of them. A rotation makes logins of another name, so that the old ones
stay good until every pod has read the new ones.
"""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName, DatabaseRole
from aiapp_operator.api.plan import PASSWORD, GeneratedSecret
from aiapp_operator.build.addresses import POSTGRES_PORT
from aiapp_operator.build.digest import digest

OWNER = "aiapp"  # also the name of the database, which it owns
DATA = "aiapp_data"
SUPERUSER = "postgres"
GROUPS = {DatabaseRole.OWNER: OWNER, DatabaseRole.API: DATA, DatabaseRole.WORKER: DATA}


def wanted_rotation(app: AIApp, observed: str) -> str:
    """Digest of the value that asks for new passwords; without one the passwords stay those `observed`."""
    value = (app.metadata.get("annotations") or {}).get(names.ANNOTATION_ROTATE, "")
    return digest(value) if value else observed


def login(role: DatabaseRole, rotation: str) -> str:
    """The name that `role` logs in with. The superuser's never changes: Jobs that use it live shortly."""
    if role is DatabaseRole.SUPERUSER:
        return SUPERUSER
    name = f"{OWNER}_{role.value}"
    return f"{name}_{rotation}" if rotation else name


def secrets(app: AIApp, host: str, owner: Manifest | None, rotation: str) -> list[GeneratedSecret]:
    """One Secret for each role. `owner` is the ownerReference to what holds the data."""
    return [_secret(app, role, host, owner, rotation) for role in DatabaseRole]


def _secret(app: AIApp, role: DatabaseRole, host: str, owner: Manifest | None, rotation: str) -> GeneratedSecret:
    user = login(role, rotation)
    # What a migration makes belongs to the role that owns the database, whatever the login is called.
    query = f"?options=-crole%3D{OWNER}" if role is DatabaseRole.OWNER else ""
    template = {
        "username": user,
        "password": PASSWORD,
        "host": host,
        "port": str(POSTGRES_PORT),
        "database": OWNER,
        "url": f"postgresql://{user}:{PASSWORD}@{host}:{POSTGRES_PORT}/{OWNER}{query}",
    }
    return GeneratedSecret(
        name=names.database_secret(app.name, role),
        namespace=app.namespace,
        labels=names.labels(app.name, ComponentName.POSTGRES),
        owner=owner,
        template=template,
    )
