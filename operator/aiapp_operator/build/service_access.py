"""spec.api's auth, limits and origins, and spec.budgets -> the sections of the service's configuration."""

from pathlib import Path

from aiapp_operator.api.app import AIApp
from aiapp_operator.build import credentials
from aiapp_service import config as service


def auth(app: AIApp) -> service.AuthConfig:
    """Who may call."""
    wanted = app.spec.api.auth
    keys = Path(credentials.API_KEYS_DIR) if wanted.api_keys is not None else None
    return service.AuthConfig(anonymous=wanted.anonymous, api_keys_dir=keys, jwt=_jwt(app))


def _jwt(app: AIApp) -> service.JwtConfig | None:
    jwt = app.spec.api.auth.jwt
    if jwt is None:
        return None
    credential = credentials.jwks_credential(app)
    return service.JwtConfig(
        issuer=jwt.issuer,
        audiences=tuple(jwt.audiences),
        jwks_url=jwt.jwks_url or None,
        jwks_file=Path(credential.file) if credential is not None else None,
        tenant_claim=jwt.tenant_claim or None,
    )


def rate_limit(app: AIApp) -> service.RateLimitConfig:
    """How much each key, tenant or address may ask for."""
    limit = app.spec.api.rate_limit
    if limit is None:
        return service.RateLimitConfig()
    return service.RateLimitConfig(
        requests_per_minute=limit.requests_per_minute,
        tokens_per_minute=limit.tokens_per_minute,
        concurrent_requests=limit.concurrent_requests,
        per=service.LimitScope(limit.per.value),
    )


def fail_open(app: AIApp) -> bool:
    """Whether requests go on while limits cannot be asked for."""
    return app.spec.api.rate_limit is None or app.spec.api.rate_limit.fail_open


def cors(app: AIApp) -> service.CorsConfig:
    """Which web pages may call."""
    wanted = app.spec.api.cors
    return service.CorsConfig(allowed_origins=tuple(wanted.allowed_origins) if wanted is not None else ())


def budgets(app: AIApp) -> tuple[service.BudgetConfig, ...]:
    """What may be spent."""
    return tuple(
        service.BudgetConfig.model_validate(b.model_dump(mode="json", by_alias=True)) for b in app.spec.budgets
    )
