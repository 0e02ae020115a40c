"""One client's key file: the key itself, its SHA-256, or a mapping that also says what the client may do.

    sk-example                      sha256:HEX                      tenant: shop
                                                                    sha256: HEX
                                                                    models: [chat]
                                                                    requestsPerMinute: 60
                                                                    admin: true

What is wrong with a file is said by the names of fields; a word of its content could be the key.
"""

import difflib
import hashlib
import string
from dataclasses import dataclass
from typing import Annotated, Self

import yaml
from pydantic import Field, StrictBool, StringConstraints, ValidationError, model_validator

from aiapp_service.config import RateLimitConfig
from aiapp_service.config.base import Section

HASHED = "sha256:"
_HEX_DIGITS = 64

Text = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)]


class WrongKeyFile(ValueError):
    """Lets nobody in. The message names what is wrong, without the file's content."""


@dataclass(frozen=True)
class Client:
    """Whose key it is. `rate_limit` has what the file limits, and nothing else."""

    name: str
    tenant: str
    user: str = ""
    models: frozenset[str] | None = None
    rate_limit: RateLimitConfig | None = None
    admin: bool = False


class _Mapping(Section):
    key: Text | None = None
    sha256: Text | None = None
    tenant: Text | None = None
    user: Text = ""
    models: tuple[Text, ...] | None = None
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    concurrent_requests: int | None = Field(default=None, ge=1)
    admin: StrictBool = False

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("exactly one of key, sha256 is needed")
        return self

    def digest(self) -> bytes:
        return digest(self.key) if self.key is not None else _from_hex((self.sha256 or "").removeprefix(HASHED))

    def limits(self) -> RateLimitConfig | None:
        own = {
            name: value
            for name in ("requests_per_minute", "tokens_per_minute", "concurrent_requests")
            if (value := getattr(self, name)) is not None
        }
        return RateLimitConfig(**own) if own else None


_FIELDS = [info.alias or name for name, info in _Mapping.model_fields.items()]


def digest(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def hashed(key: str) -> str:
    """`key` in the form for a file that shall not hold it."""
    return HASHED + digest(key).hex()


def read(name: str, content: str) -> tuple[bytes, Client]:
    """The digest of the key, and the client.

    Raises:
        WrongKeyFile: the content is none of the three forms.
    """
    content = content.strip()
    if content.startswith(HASHED) and len(content.split()) == 1:
        return _from_hex(content.removeprefix(HASHED)), Client(name, name)
    if not content.startswith("{") and len(content.split()) == 1:
        return digest(content), Client(name, name)
    mapping = _parsed(content)
    models = frozenset(mapping.models) if mapping.models is not None else None
    return mapping.digest(), Client(name, mapping.tenant or name, mapping.user, models, mapping.limits(), mapping.admin)


def _parsed(content: str) -> _Mapping:
    try:
        document = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise WrongKeyFile("the content is neither one key nor YAML") from error
    if not isinstance(document, dict):
        raise WrongKeyFile("the content is neither one key nor a mapping with key or sha256")
    try:
        return _Mapping.model_validate(document)
    except ValidationError as error:
        raise WrongKeyFile(_complaint(error)) from None


def _complaint(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] in ("extra_forbidden", "invalid_key"):
        # Its name is content too.
        near = difflib.get_close_matches(where, _FIELDS, n=1, cutoff=0.7)
        return f"a field is unknown; is it {near[0]}?" if near else f"a field is unknown; known: {', '.join(_FIELDS)}"
    return f"{where}: {first['msg']}" if where else first["msg"]


def _from_hex(text: str) -> bytes:
    if len(text) != _HEX_DIGITS or not set(text) <= set(string.hexdigits):
        raise WrongKeyFile(
            f"sha256: has to be {_HEX_DIGITS} hexadecimal digits, as `aiapp-service hash-key` prints them"
        )
    return bytes.fromhex(text)
