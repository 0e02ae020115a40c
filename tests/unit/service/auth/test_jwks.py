"""Which keys of a JWKS are taken, and for which algorithms."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from aiapp_service.auth.jwks import keys_of

RSA_KEY = rsa.generate_private_key(65537, 2048)
RSA_ALL = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


def jwk(algorithm, key, **fields):
    return {**json.loads(algorithm.to_jwk(key)), **fields}


PUBLIC = jwk(RSAAlgorithm, RSA_KEY.public_key(), kid="r")


def curve(kind):
    return jwk(ECAlgorithm, ec.generate_private_key(kind).public_key(), kid="r")


@pytest.mark.parametrize(
    ("entry", "algorithms"),
    [
        (PUBLIC, RSA_ALL),
        ({**PUBLIC, "alg": "RS256"}, {"RS256"}),
        ({**PUBLIC, "use": "sig", "key_ops": ["verify"]}, RSA_ALL),
        (curve(ec.SECP256R1()), {"ES256"}),
        (curve(ec.SECP384R1()), {"ES384"}),
        (curve(ec.SECP521R1()), {"ES512"}),
        (jwk(OKPAlgorithm, ed25519.Ed25519PrivateKey.generate().public_key(), kid="r"), {"EdDSA"}),
        (jwk(OKPAlgorithm, ed448.Ed448PrivateKey.generate().public_key(), kid="r"), {"EdDSA"}),
    ],
)
def test_algorithms_follow_from_the_key(entry, algorithms):
    assert keys_of({"keys": [entry]})["r"].algorithms == algorithms


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "r"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "r", "alg": "HS256"},
        {**PUBLIC, "alg": "HS256"},
        {**PUBLIC, "alg": "none"},
        {**PUBLIC, "use": "enc"},
        {**PUBLIC, "key_ops": ["encrypt"]},
        {**PUBLIC, "n": "AQAB"},
        {**PUBLIC, "n": 5},
        {"kty": "RSA", "kid": "r"},
        jwk(RSAAlgorithm, RSA_KEY, kid="r"),
        jwk(RSAAlgorithm, rsa.generate_private_key(65537, 1024).public_key(), kid="r"),  # noqa: S505  # is refused
        curve(ec.SECP256K1()),
        {"kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB", "kid": "r"},
        {"kty": "EC", "crv": ["P-256"], "kid": "r"},
        {"kty": ["RSA"], "kid": "r"},
        {**PUBLIC, "kid": 5},
        "RSA",
    ],
)
def test_what_is_no_public_signing_key_is_left_out(entry):
    other = {**PUBLIC, "kid": "other"}
    assert set(keys_of({"keys": [entry, other]})) == {"other"}
    with pytest.raises(ValueError, match="no RSA, EC or OKP key"):
        keys_of({"keys": [entry]})


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": "x"}])
def test_what_is_no_key_set(document):
    with pytest.raises(ValueError, match="no JWKS"):
        keys_of(document)
