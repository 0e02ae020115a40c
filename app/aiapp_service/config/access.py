"""Who may call, from where, and how much."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from aiapp_service.config.base import Dollars, Section

# As browsers send it: in small letters, and without a path, not even a slash.
Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[a-z0-9.:\[\]-]+)$")]


class JwtConfig(Section):
    """Tokens of an identity provider. The keys come from `jwksFile` where it is given, else from `jwksURL`."""

    issuer: str = Field(min_length=1)
    audiences: tuple[str, ...] = Field(min_length=1)
    jwks_url: str | None = Field(default=None, alias="jwksURL", description="Default: found through the issuer.")
    jwks_file: Path | None = None
    tenant_claim: str | None = Field(
        default=None, description="Claim that names the tenant, `a.b` for one inside another; none: the subject is it."
    )

    @model_validator(mode="after")
    def _keys_are_found(self) -> Self:
        given = self.jwks_file is not None or self.jwks_url is not None
        if not given and not self.issuer.startswith(("https://", "http://")):
            raise ValueError("jwksURL or jwksFile is needed: nothing can be discovered at an issuer that is no URL")
        return self


class AuthConfig(Section):
    """Who may call. Without keys, tokens and `anonymous` every call is refused with 401."""

    anonymous: bool = False
    api_keys_dir: Path | None = Field(
        default=None,
        description="Directory of key files: the file name is the client, the content its key, or sha256:HEX, "
        "or a mapping of these with what the client may do.",
    )
    jwt: JwtConfig | None = None


class LimitScope(StrEnum):
    """Who shares a limit."""

    KEY = "Key"
    TENANT = "Tenant"
    IP = "IP"


class RateLimitConfig(Section):
    """How much each key, tenant or address may ask for; what is None is not limited."""

    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    concurrent_requests: int | None = Field(default=None, ge=1)
    per: LimitScope = LimitScope.KEY


class BudgetScope(StrEnum):
    """Who shares a budget."""

    APP = "App"
    TENANT = "Tenant"
    KEY = "Key"


class BudgetPeriod(StrEnum):
    """When a budget begins anew, in UTC."""

    DAY = "Day"
    MONTH = "Month"


class BudgetAction(StrEnum):
    """What happens to requests beyond a budget."""

    BLOCK = "Block"
    WARN = "Warn"


class BudgetConfig(Section):
    """US dollars that may be spent in a period."""

    name: str
    per: BudgetScope = BudgetScope.TENANT
    period: BudgetPeriod = BudgetPeriod.MONTH
    limit_usd: Dollars = Field(alias="limitUSD")
    on_exceeded: BudgetAction = BudgetAction.BLOCK


class CorsConfig(Section):
    """Web pages that may call from a browser, by their origin; `*`: all of them."""

    allowed_origins: tuple[Origin, ...] = ()
