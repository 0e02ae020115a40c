"""A JSON Web Key Set (RFC 7517) -> keys that signatures can be checked with.

Which algorithms a key is good for follows from the key, never from a token: that is what stops `none`, and an RSA
key that is used as the secret of an HMAC.
"""

import json
from dataclasses import dataclass
from typing import Any

import jwt

MOST_KEYS = 100
LEAST_RSA_BITS = 2048

_RSA = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))
_EC = {"P-256": frozenset(("ES256",)), "P-384": frozenset(("ES384",)), "P-521": frozenset(("ES512",))}
_OKP = {"Ed25519": frozenset(("EdDSA",)), "Ed448": frozenset(("EdDSA",))}


@dataclass(frozen=True)
class Key:
    """A public key. `text` tells it from another one of the same kid."""

    value: Any
    algorithms: frozenset[str]
    text: str


def keys_of(document: Any) -> dict[str, Key]:
    """The keys by kid; one without a kid is under the empty text. What is no public signing key is left out.

    Raises:
        ValueError: there is none.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("this is no JWKS: it has no list `keys`")  # noqa: TRY004  # content of strangers, not a bug
    found: dict[str, Key] = {}
    for entry in entries[:MOST_KEYS]:
        key = _key_of(entry) if isinstance(entry, dict) else None
        kid = entry.get("kid", "") if isinstance(entry, dict) else ""
        if key is not None and isinstance(kid, str):
            found.setdefault(kid, key)
    if not found:
        raise ValueError("the JWKS has no RSA, EC or OKP key for signatures")
    return found


def _key_of(entry: dict[str, Any]) -> Key | None:
    algorithms = _algorithms(entry)
    # A private key in public is one that everybody signs with.
    if not algorithms or "d" in entry or not _is_for_signatures(entry):
        return None
    try:
        value = jwt.PyJWK(entry, min(algorithms)).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if entry["kty"] == "RSA" and value.key_size < LEAST_RSA_BITS:
        return None
    return Key(value, algorithms, json.dumps(entry, sort_keys=True))


def _algorithms(entry: dict[str, Any]) -> frozenset[str]:
    curve = entry.get("crv")
    match entry.get("kty"):
        case "RSA":
            allowed = _RSA
        case "EC" if isinstance(curve, str):
            allowed = _EC.get(curve, frozenset())
        case "OKP" if isinstance(curve, str):
            allowed = _OKP.get(curve, frozenset())
        case _:
            return frozenset()
    pinned = entry.get("alg")
    return allowed if pinned is None else allowed & {str(pinned)}


def _is_for_signatures(entry: dict[str, Any]) -> bool:
    operations = entry.get("key_ops")
    return entry.get("use", "sig") == "sig" and (not isinstance(operations, list) or "verify" in operations)
