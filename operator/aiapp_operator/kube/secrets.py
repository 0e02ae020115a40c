"""Generated Secrets: created once, never read. The operator may create and delete Secrets, nothing else."""

import random
import string

from aiapp_operator.api.plan import GeneratedSecret
from aiapp_operator.errors import Retry
from aiapp_operator.kube.api_errors import AlreadyExists
from aiapp_operator.kube.client import KubeClient

# Letters and digits only: the password stands in URLs as it is.
_ALPHABET = string.ascii_letters + string.digits
LENGTH = 32


def password(rng: random.Random) -> str:
    """A new password of about 190 bits; `rng` is the system's in production."""
    return "".join(rng.choice(_ALPHABET) for _ in range(LENGTH))


async def create(client: KubeClient, secret: GeneratedSecret, rng: random.Random) -> bool:
    """Create the Secret; False when it exists, which is as good, unless it is to be replaced.

    Whose one is that is there cannot be read: it may be that of a volume which is gone, and follow it.

    Raises:
        ApiError: the API server cannot be asked, or refuses.
        Retry: somebody else makes a Secret of that name.
    """
    manifest = secret.manifest(password(rng))
    try:
        await client.create(manifest)
    except AlreadyExists:
        if not secret.replace:
            return False
    else:
        return True
    # Its uid is not ours to read. The name is: nobody else makes a Secret of it.
    await client.delete("Secret", secret.namespace, secret.name, uid="")
    try:
        await client.create(manifest)
    except AlreadyExists as error:
        raise Retry("Conflict", f"Secret {secret.name} was made by somebody else meanwhile") from error
    return True
