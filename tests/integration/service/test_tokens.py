"""JSON Web Tokens: good ones, attacks, rotated keys, a provider that is down."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from aiapp_service.auth import key_source, tokens
from aiapp_service.config import AuthConfig, JwtConfig, ServiceConfig
from tests.integration.service.conftest import Serve, Service, config
from tests.integration.service.identity_provider import AUDIENCE, IdentityProvider, rsa_key
from tests.integration.service.waiting import until

NOBODY = "http://127.0.0.1:9/v1"


def trusting(provider: IdentityProvider, **fields: Any) -> ServiceConfig:
    values = {"issuer": provider.url, "audiences": (AUDIENCE,), "jwks_url": f"{provider.url}/jwks", **fields}
    return config(NOBODY, auth=AuthConfig(jwt=JwtConfig(**values)))


async def ask(api: Service, token: str) -> tuple[int, str | None]:
    async with api.http.get(f"{api.url}/v1/models", headers={"Authorization": f"Bearer {token}"}) as answer:
        return answer.status, None if answer.status == 200 else (await answer.json())["error"]["message"]


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def signed_with_public_key(provider: IdentityProvider) -> str:
    """The RSA key that everybody knows as the secret of an HMAC, in each form that a library may use."""
    public = rsa_key(0).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    text = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': 'rsa'})}.{encoded(provider.claims())}"
    signature = hmac.new(public, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def flipped(token: str) -> str:
    head, claims, signature = token.split(".")
    middle = len(signature) // 2
    return f"{head}.{claims}.{signature[:middle]}{'A' if signature[middle] != 'A' else 'B'}{signature[middle + 1 :]}"


def other_claims(provider: IdentityProvider) -> str:
    head, _, signature = provider.token().split(".")
    return f"{head}.{encoded(provider.claims(sub='admin'))}.{signature}"


def by_stranger(provider: IdentityProvider, **headers: Any) -> str:
    stranger = rsa_key(7)
    own = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(stranger.public_key()))
    told = {name: own if value == "OWN" else value for name, value in headers.items()}
    return jwt.encode(provider.claims(), stranger, "RS256", headers=told)


ATTACKS = {
    "none": lambda p: f"{encoded({'alg': 'none', 'kid': 'rsa'})}.{encoded(p.claims())}.",
    "None": lambda p: f"{encoded({'alg': 'None', 'kid': 'rsa'})}.{encoded(p.claims())}.",
    "no algorithm": lambda p: f"{encoded({'kid': 'rsa'})}.{encoded(p.claims())}.AAAA",
    "algorithm is a list": lambda p: f"{encoded({'alg': ['RS256'], 'kid': 'rsa'})}.{encoded(p.claims())}.AAAA",
    "RSA key as HMAC secret": signed_with_public_key,
    "RSA token with the kid of an EC key": lambda p: p.token("rsa", {"kid": "ec"}),
    "stranger's key": lambda p: by_stranger(p, kid="rsa"),
    "jku": lambda p: by_stranger(p, kid="rsa", jku="http://127.0.0.1:1/jwks"),
    "jwk": lambda p: by_stranger(p, jwk="OWN"),
    "x5u": lambda p: by_stranger(p, kid="rsa", x5u="http://127.0.0.1:1/x"),
    "crit": lambda p: p.token("rsa", {"crit": ["x"], "x": 1}),
    "kid path": lambda p: by_stranger(p, kid="../../../../dev/null"),
    "kid SQL": lambda p: by_stranger(p, kid="x' UNION SELECT 'k"),
    "kid is a list": lambda p: f"{encoded({'alg': 'RS256', 'kid': ['rsa']})}.{encoded(p.claims())}.AAAA",
    "no kid among three keys": by_stranger,
    "flipped signature": lambda p: flipped(p.token()),
    "no signature": lambda p: p.token().rpartition(".")[0] + ".",
    "other claims": other_claims,
    "expired": lambda p: p.token(exp=time.time() - 61),
    "not yet valid": lambda p: p.token(nbf=time.time() + 90),
    "issued in the future": lambda p: p.token(iat=time.time() + 90),
    "never expires": lambda p: p.token(exp=None),
    "exp is a text": lambda p: p.token(exp="tomorrow"),
    "exp is infinite": lambda p: p.token(exp=float("inf")),
    "other issuer": lambda p: p.token(iss="https://evil.example.com"),
    "issuer is a list": lambda p: p.token(iss=[p.url]),
    "no issuer": lambda p: p.token(iss=None),
    "other audience": lambda p: p.token(aud="other"),
    "no audience": lambda p: p.token(aud=None),
    "no subject": lambda p: p.token(sub=None),
    "empty subject": lambda p: p.token(sub=""),
    "subject with a line break": lambda p: p.token(sub="a\nb"),
    "long subject": lambda p: p.token(sub="a" * 300),
    "claims are a list": lambda p: jwt.api_jws.encode(b"[]", rsa_key(0), "RS256", headers={"kid": "rsa"}),
    "claims nested deep": lambda p: jwt.api_jws.encode(b"[" * 9000, rsa_key(0), "RS256", headers={"kid": "rsa"}),
    "header nested deep": lambda p: base64.urlsafe_b64encode(b"[" * 9000).decode() + ".e30.AAAA",
    "20 KiB": lambda p: p.token(padding="x" * 14_000),
    "four dots": lambda p: p.token() + ".a.b",
    "no token": lambda p: "sk-something",
    "not even ASCII": lambda p: "\u00e9.\u00e9.\u00e9",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
async def test_attack_is_refused(serve: Serve, attack) -> None:
    async with IdentityProvider().running() as provider, serve(trusting(provider)) as api:
        assert (await ask(api, provider.token()))[0] == 200
        status, message = await ask(api, attack(provider))
        assert status == 401
        assert message
        assert provider.asked <= 2


async def test_token_of_a_mebibyte(serve: Serve) -> None:
    async with IdentityProvider().running() as provider, serve(trusting(provider)) as api:
        token = provider.token(padding="x" * 1_000_000)
        async with api.http.get(f"{api.url}/v1/models", headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status in (400, 401)
        assert (await ask(api, provider.token()))[0] == 200


@pytest.mark.parametrize("kid", ["rsa", "ec", "ed"])
async def test_good_token_names_subject_and_tenant(serve: Serve, kid: str, caplog) -> None:
    caplog.set_level("INFO", "aiapp_service.access")
    async with (
        IdentityProvider().running() as provider,
        serve(trusting(provider, tenant_claim="org.id")) as api,
    ):
        # Clocks differ.
        late = provider.token(kid, exp=time.time() - 30, nbf=time.time() + 30, org={"id": "shop"})
        assert (await ask(api, late))[0] == 200
        assert (await ask(api, provider.token(kid, aud=["x", AUDIENCE], org={"id": "shop"})))[0] == 200
        entry = caplog.records[-1].__dict__
        assert (entry["client"], entry["tenant"]) == ("jwt:u-1", "shop")
        for org in (None, "shop", {}, {"id": None}, {"id": ["shop"]}, {"id": ""}, {"id": 5}):
            status, message = await ask(api, provider.token(kid, org=org))
            assert status == 403
            assert "org.id" in str(message)


async def test_without_a_claim_for_it_the_subject_is_the_tenant(serve: Serve, caplog) -> None:
    caplog.set_level("INFO", "aiapp_service.access")
    async with IdentityProvider().running() as provider, serve(trusting(provider)) as api:
        assert (await ask(api, provider.token()))[0] == 200
    entry = caplog.records[-1].__dict__
    assert (entry["client"], entry["tenant"]) == ("jwt:u-1", "jwt:u-1"), "no API key's client is named like that"


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The tokens whose signatures were looked at."""
    found: list[str] = []
    real = jwt.decode
    monkeypatch.setattr(jwt, "decode", lambda token, **fields: found.append(token) or real(token, **fields))
    return found


async def test_verified_once_until_it_expires(serve: Serve, decoded: list[str], monkeypatch) -> None:
    async with IdentityProvider().running() as provider, serve(trusting(provider)) as api:
        token = provider.token()
        assert [(await ask(api, token))[0] for _ in range(5)] == [200] * 5
        assert decoded == [token]
        later = time.time() + 361
        monkeypatch.setattr(tokens, "time", SimpleNamespace(time=lambda: later))
        await ask(api, token)
        assert decoded == [token, token]


async def test_no_more_tokens_are_known_than_fit(serve: Serve, decoded: list[str], monkeypatch) -> None:
    monkeypatch.setattr(tokens, "MOST_KNOWN", 2)
    async with IdentityProvider().running() as provider, serve(trusting(provider)) as api:
        first, second, third = (provider.token(number=number) for number in range(3))
        for token in (first, second, third, second, third, first):
            assert (await ask(api, token))[0] == 200
        assert decoded == [first, second, third, first]


async def test_unknown_kids_do_not_become_requests_to_the_provider(serve: Serve) -> None:
    async with IdentityProvider(seconds=0.1).running() as provider, serve(trusting(provider)) as api:
        assert (await ask(api, provider.token()))[0] == 200
        found = await asyncio.gather(*(ask(api, by_stranger(provider, kid=f"k{n}")) for n in range(100)))
        assert {status for status, _ in found} == {401}
        assert provider.asked == 1, "asked a moment ago"


async def test_first_tokens_wait_for_one_request(serve: Serve) -> None:
    async with IdentityProvider(seconds=0.2).running() as provider, serve(trusting(provider)) as api:
        found = await asyncio.gather(*(ask(api, provider.token()) for _ in range(20)))
        assert {status for status, _ in found} == {200}
        assert provider.asked == 1


@pytest.fixture
def often(monkeypatch):
    """Keys are read whenever they are looked at."""
    real = key_source.key_source

    def eager(*args: Any) -> key_source.KeySource:
        return replace(real(*args), every=0.05, again=0.02)

    monkeypatch.setattr(key_source, "key_source", eager)


@pytest.mark.usefixtures("often")
async def test_rotation(serve: Serve) -> None:
    """The new key is good at once, the old one until it is withdrawn."""
    async with IdentityProvider().running() as provider, serve(trusting(provider)) as api:
        old = provider.token()
        assert (await ask(api, old))[0] == 200
        provider.keys["new"] = ("RS256", rsa_key(1))
        await until("the new key is known", lambda: accepted(api, provider.token("new")))
        assert (await ask(api, old))[0] == 200
        del provider.keys["rsa"]
        await until("what the old key has signed is refused", lambda: refused(api, old))
        assert (await ask(api, provider.token("new")))[0] == 200


async def accepted(api: Service, token: str) -> bool:
    return (await ask(api, token))[0] == 200


async def refused(api: Service, token: str) -> bool:
    return (await ask(api, token))[0] == 401


async def test_new_kid_is_looked_for_at_once(serve: Serve, monkeypatch) -> None:
    real = key_source.key_source
    monkeypatch.setattr(key_source, "key_source", lambda *args: replace(real(*args), again=0.0))
    async with IdentityProvider().running() as provider, serve(trusting(provider)) as api:
        assert (await ask(api, provider.token()))[0] == 200
        provider.keys["new"] = ("RS256", rsa_key(1))
        assert (await ask(api, provider.token("new")))[0] == 200
        assert provider.asked == 2


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("broken", ["down", "fails"])
async def test_provider_that_is_gone_takes_nothing_along(serve: Serve, broken: str, caplog) -> None:
    provider = IdentityProvider()
    async with provider.running():
        wanted = trusting(provider)
    port = int(provider.url.rpartition(":")[2])
    async with serve(wanted) as api:
        async with api.http.get(
            f"{api.url}/v1/models", headers={"Authorization": f"Bearer {provider.token()}"}
        ) as told:
            assert told.status == 503
            assert told.headers["Retry-After"]
            assert (await told.json())["error"]["code"] == "keys_unavailable"
        async with provider.running(port):
            await until("it is asked again", lambda: accepted(api, provider.token()))
            provider.status = 500
            if broken == "fails":
                caplog.clear()
                await until("it is asked", lambda: still(api, provider, caplog))
        if broken == "down":
            caplog.clear()
            await until("it is asked", lambda: still(api, provider, caplog))


async def still(api: Service, provider: IdentityProvider, caplog) -> bool:
    """Known keys stay good for tokens that were not seen yet; true when the provider has been asked in vain."""
    assert (await ask(api, provider.token()))[0] == 200
    return any(record.message == "keys of the identity provider not read" for record in caplog.records)


async def test_keys_by_discovery(serve: Serve) -> None:
    async with IdentityProvider().running() as provider, serve(trusting(provider, jwks_url=None)) as api:
        assert (await ask(api, provider.token()))[0] == 200
    async with (
        IdentityProvider(issuer_told="https://evil.example.com").running() as provider,
        serve(trusting(provider, jwks_url=None)) as api,
    ):
        assert (await ask(api, provider.token()))[0] == 503
        assert provider.asked == 0


@pytest.mark.usefixtures("often")
async def test_keys_in_a_file(serve: Serve, tmp_path) -> None:
    provider = IdentityProvider(url="https://id.example.com")
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(provider.jwks()))
    async with serve(trusting(provider, jwks_url=None, jwks_file=file)) as api:
        assert (await ask(api, provider.token()))[0] == 200
        provider.keys = {"new": ("RS256", rsa_key(1))}
        file.write_text(json.dumps(provider.jwks()))
        await until("the file is read", lambda: accepted(api, provider.token("new")))
        file.write_text("{")
        assert (await ask(api, provider.token("new", sub="x")))[0] == 200


async def test_single_key_without_a_kid(serve: Serve, tmp_path) -> None:
    provider = IdentityProvider(url="https://id.example.com", keys={"only": ("RS256", rsa_key(0))})
    keys = provider.jwks()
    del keys["keys"][0]["kid"]
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(keys))
    async with serve(trusting(provider, jwks_url=None, jwks_file=file)) as api:
        token = jwt.encode(provider.claims(), rsa_key(0), "RS256")
        assert (await ask(api, token))[0] == 200
        assert (await ask(api, jwt.encode(provider.claims(), rsa_key(1), "RS256")))[0] == 401


async def test_algorithm_that_a_key_is_pinned_to(serve: Serve, tmp_path) -> None:
    provider = IdentityProvider(url="https://id.example.com", keys={"rsa": ("RS256", rsa_key(0))})
    keys = provider.jwks()
    keys["keys"][0]["alg"] = "RS256"
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(keys))
    async with serve(trusting(provider, jwks_url=None, jwks_file=file)) as api:
        for algorithm, status in (("RS256", 200), ("RS384", 401), ("PS256", 401)):
            token = jwt.encode(provider.claims(), rsa_key(0), algorithm, headers={"kid": "rsa"})
            assert (await ask(api, token))[0] == status


async def test_keys_and_tokens_side_by_side(serve: Serve, tmp_path) -> None:
    (tmp_path / "alice").write_text("a.b.c")
    (tmp_path / "bob").write_text("plain-key")
    async with IdentityProvider().running() as provider:
        wanted = trusting(provider)
        auth = wanted.auth.model_copy(update={"api_keys_dir": tmp_path})
        async with serve(wanted.model_copy(update={"auth": auth})) as api:
            for good in ("a.b.c", "plain-key", provider.token(), provider.token("ec")):
                assert (await ask(api, good))[0] == 200
            for bad in ("a.b.d", "plain", flipped(provider.token())):
                assert (await ask(api, bad))[0] == 401


async def test_configuration_changes_who_is_let_in_and_keeps_what_is_known(serve: Serve, tmp_path) -> None:
    (tmp_path / "alice").write_text("key")
    async with IdentityProvider().running() as provider, serve(trusting(provider)) as api:
        token = provider.token()
        assert [(await ask(api, text))[0] for text in (token, "key")] == [200, 401]
        api.gateway.replace(trusting(provider).model_copy(update={"app": "other"}))
        assert (await ask(api, token))[0] == 200
        assert provider.asked == 1, "the same keys, the same tokens"
        api.gateway.replace(config(NOBODY, auth=AuthConfig(api_keys_dir=tmp_path)))
        assert [(await ask(api, text))[0] for text in (token, "key")] == [401, 200]
        api.gateway.replace(trusting(provider, audiences=("other",)))
        assert [(await ask(api, text))[0] for text in (token, "key")] == [401, 401]
