"""Who calls, as far as limits, budgets, caches and the ledger need to know."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiapp_service.config import RateLimitConfig


@dataclass(frozen=True)
class Principal:
    """Whoever sent a request.

    `key` names the API key or the token's subject; it is never the secret itself. `tenant` is whose data may be
    seen: caches, files and usage are partitioned by it. `models` are the only ones that may be asked, None: all.
    `rate_limit` is the key's own, in place of the app's. An `admin` may see and change the jobs of all tenants.
    """

    key: str = ""
    tenant: str = ""
    user: str = ""
    address: str = ""
    models: frozenset[str] | None = None
    rate_limit: RateLimitConfig | None = None
    admin: bool = False

    def may_ask(self, model: str) -> bool:
        """Whether this model is there for whoever this is."""
        return self.models is None or model in self.models


NOBODY = Principal()


def dumped(principal: Principal) -> dict[str, Any]:
    """A principal as JSON; nothing in it is secret."""
    limits = principal.rate_limit
    return {
        "key": principal.key,
        "tenant": principal.tenant,
        "user": principal.user,
        "address": principal.address,
        "models": None if principal.models is None else sorted(principal.models),
        "rate_limit": None if limits is None else limits.model_dump(mode="json", by_alias=True),
    }


def principal_of(document: Mapping[str, Any]) -> Principal:
    """The inverse of `dumped`."""
    models, limits = document["models"], document["rate_limit"]
    return Principal(
        document["key"],
        document["tenant"],
        document["user"],
        document["address"],
        None if models is None else frozenset(models),
        None if limits is None else RateLimitConfig.model_validate(limits),
    )
