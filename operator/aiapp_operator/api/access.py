"""Who may call the API, from where, and how much: auth, rateLimit, cors, budgets."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field

from aiapp_operator.api.base import ApiModel, Decimal, PartName, Rule, SecretKeyRef, SecretRef

_SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}
HttpsUrl = Annotated[str, Field(max_length=2048, pattern=r"^$|^https://[^\s]+$")]


class ApiKeys(ApiModel):
    """API keys of clients, one Secret entry each."""

    secret_ref: SecretRef = Field(
        description=(
            "Secret whose keys are client names and whose values are their API keys, as they are or as sha256:HEX, or "
            "YAML with key or sha256, tenant, models and limits of that client. Read again on change."
        )
    )


class Jwt(ApiModel):
    """Tokens of an identity provider."""

    issuer: Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^https?://[^\s]+$")] = Field(
        description="Who signs the tokens: their claim iss, for example https://id.example.com."
    )
    audiences: list[Annotated[str, Field(min_length=1, max_length=512)]] = Field(
        min_length=1,
        max_length=16,
        description="For whom the tokens are: one of these has to be in their claim aud.",
        json_schema_extra=_SET,
    )
    jwks_url: HttpsUrl = Field(
        default="",
        alias="jwksURL",
        description="Where the issuer's public keys are; empty: found through the issuer's openid-configuration.",
    )
    jwks_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Secret entry with the issuer's public keys as a JWKS document, instead of a URL."
    )
    tenant_claim: Annotated[str, Field(max_length=256, pattern=r"^[A-Za-z0-9_.:/-]*$")] = Field(
        default="",
        description=(
            "Claim that names the tenant, for example org; dots lead into nested claims. A token without it is "
            "refused. Empty: each subject is a tenant of its own."
        ),
    )
    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!(has(self.jwksURL) && self.jwksURL != '' && has(self.jwksSecretRef))",
            "give one of jwksURL and jwksSecretRef, not both",
        ),
    )


class Auth(ApiModel):
    """Who may call the API. With no field set every request is answered with 401."""

    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!((has(self.apiKeys) || has(self.jwt)) && has(self.anonymous) && self.anonymous)",
            "give apiKeys and jwt, or anonymous: true alone: with anonymous they would protect nothing",
        ),
    )
    api_keys: ApiKeys | None = Field(default=None, description="Let clients in that send one of these API keys.")
    jwt: Jwt | None = Field(default=None, description="Let clients in that send a token of this identity provider.")
    anonymous: bool = Field(
        default=False,
        description="true lets everybody in without a key. Only for demos and trusted networks.",
    )


class LimitScope(StrEnum):
    """Who shares a limit."""

    KEY = "Key"
    TENANT = "Tenant"
    IP = "IP"


class RateLimit(ApiModel):
    """How much each key, tenant or address may ask for; what is not given is not limited."""

    requests_per_minute: int | None = Field(default=None, ge=1, le=10_000_000, description="Requests in a minute.")
    tokens_per_minute: int | None = Field(
        default=None, ge=1, le=2_000_000_000, description="Input and output tokens in a minute."
    )
    concurrent_requests: int | None = Field(default=None, ge=1, le=100_000, description="Requests at the same time.")
    per: LimitScope = Field(
        default=LimitScope.KEY,
        description="Who shares the limit: Key, Tenant or IP. Callers without a key are told apart by address.",
    )
    fail_open: bool = Field(
        default=True,
        description=(
            "While Redis does not answer: true lets requests go on with limits that each pod keeps for itself, false "
            "refuses them with 503."
        ),
    )


Origin = Annotated[str, Field(max_length=512, pattern=r"^(\*|https?://[^\s/]+)$")]
Network = Annotated[str, Field(max_length=64, pattern=r"^[0-9a-fA-F.:]+(/[0-9]{1,3})?$")]
HostName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]


class Cors(ApiModel):
    """Which web pages may call the API from a browser."""

    allowed_origins: list[Origin] = Field(
        default_factory=list,
        max_length=64,
        description="Origins such as https://app.example.com; * for all of them.",
        json_schema_extra=_SET,
    )


class BudgetScope(StrEnum):
    """Who shares a budget."""

    APP = "App"
    TENANT = "Tenant"
    KEY = "Key"


class BudgetPeriod(StrEnum):
    """When a budget begins anew."""

    DAY = "Day"
    MONTH = "Month"


class BudgetAction(StrEnum):
    """What happens beyond a budget."""

    BLOCK = "Block"
    WARN = "Warn"


class Budget(ApiModel):
    """US dollars that may be spent in a period."""

    name: PartName = Field(description="Name of this budget, in answers and metrics.")
    per: BudgetScope = Field(
        default=BudgetScope.TENANT, description="Who has such a budget: the whole App, each Tenant, or each Key."
    )
    period: BudgetPeriod = Field(default=BudgetPeriod.MONTH, description="Day or Month, in UTC.")
    limit_usd: Decimal = Field(alias="limitUSD", description='US dollars, for example "500". Needs priced backends.')
    on_exceeded: BudgetAction = Field(
        default=BudgetAction.BLOCK,
        description="Block answers 429 until the period is over; Warn lets requests go on with a header.",
    )
