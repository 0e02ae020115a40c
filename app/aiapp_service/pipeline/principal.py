"""Who calls, as far as limits, budgets, caches and the ledger need to know."""

from dataclasses import dataclass

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
