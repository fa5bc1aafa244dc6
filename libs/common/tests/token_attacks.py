"""Tokens that must not be believed, each built from a mint whose key is trusted."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aula_common.testing import ManualClock, TokenMint


def encode(part: Any) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def public_pem(mint: TokenMint) -> bytes:
    return mint.private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def raw_public(mint: TokenMint) -> bytes:
    return mint.private_key.public_key().public_bytes_raw()


def hs256(mint: TokenMint, key: bytes) -> str:
    header = encode({"alg": "HS256", "typ": "at+jwt", "kid": mint.kid})
    signed = f"{header}.{encode(claims_of(mint.user('usr_1')))}"
    return f"{signed}.{encode(hmac.digest(key, signed.encode(), hashlib.sha256))}"


def unsigned(mint: TokenMint, algorithm: Any) -> str:
    header = encode({"alg": algorithm, "typ": "at+jwt", "kid": mint.kid})
    return f"{header}.{encode(claims_of(mint.user('usr_1')))}."


def signed_by_another(mint: TokenMint) -> str:
    other = TokenMint(mint.clock)
    other.kid = mint.kid
    return other.user("usr_1")


def self_made_key_in_header(mint: TokenMint) -> str:
    own = Ed25519PrivateKey.generate()
    jwk = jwt.algorithms.OKPAlgorithm.to_jwk(own.public_key(), as_dict=True)
    headers = {"typ": "at+jwt", "kid": mint.kid, "jwk": jwk}
    return jwt.encode(claims_of(mint.user("usr_1")), own, algorithm="EdDSA", headers=headers)


def es256(mint: TokenMint) -> str:
    headers = {"typ": "at+jwt", "kid": mint.kid}
    key = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(claims_of(mint.user("usr_1")), key, algorithm="ES256", headers=headers)


def tampered(mint: TokenMint) -> str:
    header, payload, signature = mint.user("usr_1").split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return f"{header}.{encode({**claims, 'role': 'admin'})}.{signature}"


def without(name: str) -> Callable[[TokenMint], str]:
    def build(mint: TokenMint) -> str:
        claims = claims_of(mint.user("usr_1"))
        del claims[name]
        headers = {"typ": "at+jwt", "kid": mint.kid}
        return jwt.encode(claims, mint.private_key, algorithm="EdDSA", headers=headers)

    return build


def claiming(**claims: Any) -> Callable[[TokenMint], str]:
    return lambda mint: mint.sign({"sub": "usr_1", "role": "enduser", **claims})


def headed(**headers: Any) -> Callable[[TokenMint], str]:
    return lambda mint: mint.sign({"sub": "usr_1", "role": "enduser"}, **headers)


def raw_payload(text: str) -> Callable[[TokenMint], str]:
    """A token, well signed, whose payload is this text, with the times of a valid one."""

    def build(mint: TokenMint) -> str:
        signed = (
            f"{encode({'alg': 'EdDSA', 'typ': 'at+jwt', 'kid': mint.kid})}.{encode(text.encode())}"
        )
        return f"{signed}.{encode(mint.private_key.sign(signed.encode()))}"

    return build


NOW = int(ManualClock().now().timestamp())
ADMIN = '"iss":"aula","aud":"aula","sub":"usr_1","role":"admin","jti":"tok_1"'
ATTACKS: dict[str, Callable[[TokenMint], str]] = {
    "nothing": lambda _: "",
    "no token": lambda _: "a.b.c",
    "four parts": lambda mint: mint.user("usr_1") + ".x",
    "not ASCII": lambda mint: mint.user("usr_1") + "é",
    "too long": lambda mint: mint.sign({"sub": "usr_1", "role": "enduser", "x": "y" * 8192}),
    "alg none": lambda mint: unsigned(mint, "none"),
    "alg None": lambda mint: unsigned(mint, "None"),
    "alg a list": lambda mint: unsigned(mint, ["EdDSA"]),
    "alg missing": lambda mint: unsigned(mint, None),
    "HS256 under the public key as PEM": lambda mint: hs256(mint, public_pem(mint)),
    "HS256 under the public key's bytes": lambda mint: hs256(mint, raw_public(mint)),
    "another algorithm under the same kid": es256,
    "another's key under the same kid": signed_by_another,
    "payload changed": tampered,
    "signature cut off": lambda mint: mint.user("usr_1").rpartition(".")[0] + ".",
    "own key in jwk": self_made_key_in_header,
    "jku": headed(jku="https://attacker.example/keys"),
    "x5u": headed(x5u="https://attacker.example/cert"),
    "x5c": headed(x5c=["AAAA"]),
    "unknown crit": headed(crit=["hello"], hello=1),
    "kid a path": headed(kid="../../../../dev/null"),
    "kid SQL": headed(kid="' UNION SELECT 'key'--"),
    "kid unknown": headed(kid="key_unknown"),
    "typ JWT": headed(typ="JWT"),
    "typ of a refresh token": headed(typ="rt+jwt"),
    "typ missing": headed(typ=""),
    "wrong iss": claiming(iss="another"),
    "wrong aud": claiming(aud="another"),
    "aud a list": claiming(aud=["aula"]),
    "a service's token for another service": lambda mint: mint.service(
        "chat", audience="accounting", scopes=["rates:read"]
    ),
    "a service's role with a person's aud": claiming(role="service"),
    "a person's role with a service's aud": claiming(aud="common"),
    "expired": claiming(exp=NOW - 6),
    "not yet valid": claiming(nbf=NOW + 60),
    "issued in the future": claiming(iat=NOW + 60),
    "exp text": claiming(exp="9999999999"),
    "exp a boolean": claiming(exp=True),
    "exp beyond any calendar": claiming(exp=10**400),
    "iat infinite": raw_payload(f'{{{ADMIN},"iat":-Infinity,"exp":{NOW + 9}}}'),
    "exp NaN": raw_payload(f'{{{ADMIN},"iat":{NOW},"exp":NaN}}'),
    "payload no object": raw_payload("[]"),
    "payload too deep": raw_payload("[" * 3000),
    "payload's number too long": raw_payload('{"exp":' + "9" * 5000 + "}"),
    "no exp": without("exp"),
    "no iss": without("iss"),
    "no aud": without("aud"),
    "no sub": without("sub"),
    "no jti": without("jti"),
    "no iat": without("iat"),
    "sub a number": claiming(sub=7),
    "sub empty": claiming(sub="", userId="usr_1"),
    "sid an object": claiming(sid={"a": 1}),
    "role unknown": claiming(role="root"),
    "role a list": claiming(role=["admin"]),
    "role of an existing issuer": claiming(role="user"),
    "scope a list": claiming(scope=["a"]),
    "teams of numbers": claiming(teams=[1]),
}
