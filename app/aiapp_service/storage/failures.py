"""What goes wrong with an object store, in words of our own: who is to act, and on which field.

    ObjectStoreError
    +-- ObjectMissing        no object has this name
    +-- TooLarge             more was given than may be
    +-- ObjectStoreDown      it does not answer, or says that it cannot now: later it may
    +-- ObjectStoreRefused   it does not let us: the credentials, the bucket or the region are wrong

No message holds a credential, or what the store itself has said: that may quote a signature.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import ClientError as BrokenConnection
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004  # botocore's own
    HTTPClientError,
    IncompleteReadError,
)

from aiapp_service.stores.breaker import StoreDown, StoreRefused

_KEY_CODES = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "XAdminUserNotFound"}
)
_KEY_FIELD = "spec.objectStore.s3.credentialsSecretRef"
_PASSING = frozenset({"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling"})
_MISSING = frozenset({"NoSuchKey", "NoSuchVersion", "404", "NotFound"})
_REGION = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"})


class ObjectStoreError(Exception):
    """Base of all below."""


class ObjectMissing(ObjectStoreError):
    """There is no object of this name."""


class TooLarge(ObjectStoreError):
    """`limit` bytes were allowed, and more came; nothing of it is kept."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} bytes")
        self.limit = limit


class ObjectStoreDown(ObjectStoreError, StoreDown):
    """The store does not answer, or cannot now."""


class ObjectStoreRefused(ObjectStoreError, StoreRefused):
    """The store answers, and refuses: somebody has to change something. The message names the field."""


@contextmanager
def translated() -> Iterator[None]:
    """Raises one of the above in place of what the client library or its connection raises."""
    try:
        yield
    except ClientError as error:
        raise _from_answer(error) from None
    except (ConnectionError, HTTPClientError, IncompleteReadError, BrokenConnection, OSError) as error:
        raise ObjectStoreDown(f"the object store does not answer: {type(error).__name__}") from None
    except (BotoCoreError, ValueError) as error:
        raise ObjectStoreRefused(f"spec.objectStore.s3 is not usable: {type(error).__name__}") from None


def _from_answer(error: ClientError) -> ObjectStoreError:
    code = code_of(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _MISSING:
        return ObjectMissing("there is no such object")
    if code in _PASSING or status >= 500 or status == 429:
        return ObjectStoreDown(f"the object store cannot now: {_word(code) or status}")
    return ObjectStoreRefused(_refusal(code, status))


def _refusal(code: str, status: int) -> str:
    """What to do about it."""
    if code == "NoSuchBucket":
        return "there is no such bucket: create it, or correct spec.objectStore.s3.bucket"
    if code in _REGION:
        return "the bucket is in another region: correct spec.objectStore.s3.region"
    if code in _KEY_CODES or status == 401:
        return f"the access key is not accepted: correct the Secret of {_KEY_FIELD}"
    if status == 403:
        return f"access is denied: let the key of {_KEY_FIELD} read and write the bucket"
    return f"the object store refuses: {_word(code) or status}"


def code_of(error: ClientError) -> str:
    """The word for it in the S3 API."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _word(code: str) -> str:
    """A code as S3 has them; of anything else nothing is repeated."""
    return code if code.isalnum() and len(code) <= 64 else ""
