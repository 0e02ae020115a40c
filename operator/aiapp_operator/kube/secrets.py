"""Generated Secrets: created once, never read. The operator may create and delete Secrets, nothing else."""

import random
import string
from datetime import datetime, timedelta

from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.plan import GeneratedSecret
from aiapp_operator.errors import Waiting
from aiapp_operator.kube.api_errors import AlreadyExists
from aiapp_operator.kube.client import KubeClient

# Letters and digits only: the password stands in URLs as it is.
_ALPHABET = string.ascii_letters + string.digits
LENGTH = 32
# Garbage collection has removed the Secret of a volume within this time after the volume itself.
DOUBT = timedelta(seconds=15)
DOUBT_SECONDS = 2.0


def password(rng: random.Random) -> str:
    """A new password of about 190 bits; `rng` is the system's in production."""
    return "".join(rng.choice(_ALPHABET) for _ in range(LENGTH))


async def create(client: KubeClient, secret: GeneratedSecret, rng: random.Random) -> bool:
    """Create the Secret; False when it exists, which is as good, unless it is to be replaced.

    Raises:
        ApiError: the API server cannot be asked, or refuses.
    """
    if secret.replace:
        # Its uid is not ours to read. The name is: nobody else makes a Secret of it.
        await client.delete("Secret", secret.namespace, secret.name, uid="")
    try:
        await client.create(secret.manifest(password(rng)))
    except AlreadyExists:
        return False
    return True


def check_settled(secret: GeneratedSecret, volume: Manifest | None, now: datetime) -> None:
    """Raise while a Secret that exists already may be that of a volume which is gone: it will follow it.

    Whose it is cannot be read. A volume that was made just now has no Secret yet, unless we were killed in between;
    that of an earlier volume of the same name would be taken from under the pods that start with it.

    Raises:
        Waiting: `volume` is younger than DOUBT.
    """
    created = (volume or {"metadata": {}})["metadata"].get("creationTimestamp")
    if created and now - datetime.fromisoformat(created) < DOUBT:
        message = f"Secret {secret.name} may be that of an earlier volume, which is being removed"
        raise Waiting("PredecessorRemains", message, seconds=DOUBT_SECONDS)
