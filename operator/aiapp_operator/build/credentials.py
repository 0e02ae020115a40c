"""Secrets inside pods of the service: mounted as files, checked before the pod starts.

The volumes are optional, so that kubelet refreshes them and a Secret that is deleted later does not
keep a pod from starting again on its node. That a Secret or key is missing is noticed by the first
init container instead: it takes each value as an environment variable, so kubelet names what is
missing in the pod's status, tries again every few seconds, and no long-running process has secrets
in its environment.
"""

from dataclasses import dataclass

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName, DatabaseRole
from aiapp_operator.build import redis_cache
from aiapp_operator.build.pod import SECRET_MODE, container, mount

CREDENTIALS_DIR = "/etc/aiapp/credentials"
API_KEYS_DIR = "/etc/aiapp/api-keys"
POSTGRES_URL = "postgres/url"
REDIS_URL = "redis/url"
CACHE_URL = "redis/cache-url"
JWKS = "jwt/jwks.json"
ACCESS_KEY = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
VECTOR_STORE_KEY = "vector-store/key"
CHECK = "check-secrets"


@dataclass(frozen=True)
class Credential:
    """One key of a Secret, as a file below CREDENTIALS_DIR."""

    secret: str
    key: str
    path: str

    @property
    def file(self) -> str:
        """Where the pod finds it."""
        return f"{CREDENTIALS_DIR}/{self.path}"


def postgres_credential(app: AIApp, role: DatabaseRole) -> Credential:
    """The connection URL of the database, as `role`; of an external one there is only one for all."""
    external = app.spec.postgres.external
    if external is not None:
        return Credential(external.url_secret_ref.name, external.url_secret_ref.key, POSTGRES_URL)
    return Credential(names.database_secret(app.name, role), "url", POSTGRES_URL)


def redis_credential(app: AIApp) -> Credential:
    """The connection URL of Redis, managed or external."""
    external = app.spec.redis.external
    if external is not None:
        return Credential(external.url_secret_ref.name, external.url_secret_ref.key, REDIS_URL)
    return Credential(names.part(app.name, ComponentName.REDIS), "url", REDIS_URL)


def cache_credential(app: AIApp) -> Credential | None:
    """The connection URL of the Redis for cached answers, where it is another one than that for jobs."""
    if redis_cache.wanted(app) is None:
        return None
    return Credential(names.part(app.name, ComponentName.REDIS), "cacheUrl", CACHE_URL)


def provider_credentials(app: AIApp) -> tuple[Credential, ...]:
    """API keys of the providers that have one."""
    return tuple(
        Credential(p.api_key_secret_ref.name, p.api_key_secret_ref.key, f"providers/{p.name}")
        for p in app.spec.providers
        if p.api_key_secret_ref is not None
    )


def jwks_credential(app: AIApp) -> Credential | None:
    """Public keys of the identity provider, where they come from a Secret."""
    jwt = app.spec.api.auth.jwt
    if jwt is None or jwt.jwks_secret_ref is None:
        return None
    return Credential(jwt.jwks_secret_ref.name, jwt.jwks_secret_ref.key, JWKS)


def guardrail_path(name: str) -> str:
    """Where the key of a guardrail's endpoint is, below CREDENTIALS_DIR."""
    return f"guardrails/{name}"


def guardrail_credentials(app: AIApp) -> tuple[Credential, ...]:
    """API keys of moderation endpoints that have one."""
    return tuple(
        Credential(g.api_key_secret_ref.name, g.api_key_secret_ref.key, guardrail_path(g.name))
        for g in app.spec.guardrails
        if g.api_key_secret_ref is not None
    )


def object_store_credentials(app: AIApp) -> tuple[Credential, ...]:
    """Both halves of the access key to the object store, where there is one."""
    if app.spec.object_store is None:
        return ()
    secret = app.spec.object_store.s3.credentials_secret_ref.name
    return tuple(Credential(secret, key, f"object-store/{key}") for key in ACCESS_KEY)


def vector_store_credential(app: AIApp) -> Credential | None:
    """The API key of the store of vectors, where it has one."""
    wanted = app.spec.vector_store
    place = None if wanted is None else wanted.qdrant or wanted.pinecone
    if place is None or place.api_key_secret_ref is None:
        return None
    return Credential(place.api_key_secret_ref.name, place.api_key_secret_ref.key, VECTOR_STORE_KEY)


def service_credentials(app: AIApp, role: DatabaseRole) -> tuple[Credential, ...]:
    """What API and worker pods use; `role` is theirs in the database."""
    databases = (postgres_credential(app, role), redis_credential(app))
    optional = (cache_credential(app), jwks_credential(app), vector_store_credential(app))
    cache, *others = ((found,) if found is not None else () for found in optional)
    jwks, vectors = others
    keys = (*provider_credentials(app), *jwks, *vectors, *guardrail_credentials(app))
    return (*databases, *cache, *keys, *object_store_credentials(app))


def credentials_volume(credentials: tuple[Credential, ...]) -> Manifest:
    """All credentials in one volume."""
    sources = [
        {"secret": {"name": c.secret, "items": [{"key": c.key, "path": c.path}], "optional": True}} for c in credentials
    ]
    return {"name": "credentials", "projected": {"defaultMode": SECRET_MODE, "sources": sources}}


def api_keys_volume(secret: str) -> Manifest:
    """The Secret of API keys, one file a client."""
    return {"name": "api-keys", "secret": {"secretName": secret, "defaultMode": SECRET_MODE, "optional": True}}


def credentials_mount() -> Manifest:
    """Where a container sees the credentials."""
    return mount("credentials", CREDENTIALS_DIR, read_only=True)


def check_secrets(image: str, credentials: tuple[Credential, ...], whole: tuple[str, ...] = ()) -> Manifest:
    """The init container that starts only when each credential and each Secret of `whole` exists."""
    env = [
        {"name": f"SECRET_{i}", "valueFrom": {"secretKeyRef": {"name": c.secret, "key": c.key}}}
        for i, c in enumerate(credentials)
    ]
    fields: Manifest = {"env": env} if env else {}
    if whole:
        fields["envFrom"] = [{"secretRef": {"name": name}} for name in whole]
    small = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}
    return container(CHECK, image, command=["/bin/true"], resources=small, **fields)
