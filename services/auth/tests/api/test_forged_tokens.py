"""Forged, foreign and worn-out access tokens: one body for all of them."""

import base64
import hashlib
import hmac
import json
from typing import Any

import httpx
import jwt
import pytest
from auth_builders import Auth, SignedIn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from aula_auth.services.signing import KeyRingSigner
from aula_common.testing import ManualClock


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def segment(value: dict[str, Any]) -> str:
    return b64(json.dumps(value).encode())


class Forger:
    """Knows the real signing key, so that each forgery differs from a good token in one thing."""

    def __init__(self, auth: Auth, person: SignedIn) -> None:
        signer = auth.context.signer
        assert isinstance(signer, KeyRingSigner)
        self.key = signer.ring.current
        self.claims: dict[str, Any] = jwt.decode(
            person.access_token, options={"verify_signature": False}
        )
        self.header = jwt.get_unverified_header(person.access_token)

    def token(
        self,
        *,
        header: dict[str, Any] | None = None,
        claims: dict[str, Any] | None = None,
        without: str | None = None,
        key: Ed25519PrivateKey | None = None,
    ) -> str:
        body = {k: v for k, v in {**self.claims, **(claims or {})}.items() if k != without}
        head = {k: v for k, v in {**self.header, **(header or {})}.items() if v is not None}
        signed = f"{segment(head)}.{segment(body)}"
        return f"{signed}.{b64((key or self.key.private_key).sign(signed.encode()))}"

    def unsigned(self, algorithm: str) -> str:
        head = {**self.header, "alg": algorithm}
        return f"{segment(head)}.{segment(self.claims)}."

    def signed_with_public_key(self, encoding: Encoding, format_: PublicFormat) -> str:
        public = self.key.private_key.public_key().public_bytes(encoding, format_)
        signed = f"{segment({**self.header, 'alg': 'HS256'})}.{segment(self.claims)}"
        return f"{signed}.{b64(hmac.digest(public, signed.encode(), hashlib.sha256))}"


def forgeries(forger: Forger, person: SignedIn) -> dict[str, str]:
    stranger = Ed25519PrivateKey.generate()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(stranger.public_key().public_bytes_raw())}
    now = forger.claims["iat"]
    good = forger.token()
    head, body, signature = good.split(".")
    return {
        **{f"alg {name}": forger.unsigned(name) for name in ("none", "None", "NONE", "")},
        "hs256 by raw public key": forger.signed_with_public_key(Encoding.Raw, PublicFormat.Raw),
        "hs256 by public pem": forger.signed_with_public_key(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        ),
        "signed by a stranger": forger.token(key=stranger),
        **{
            f"kid {kid!r}": forger.token(header={"kid": kid})
            for kid in ("../../../../dev/null", "' OR 1=1 --", "unknown", "", {"$ne": 1}, 7, None)
        },
        "jku": forger.token(header={"jku": "http://192.0.2.66/jwks.json"}, key=stranger),
        "x5u": forger.token(header={"x5u": "http://192.0.2.66/cert.pem"}, key=stranger),
        "jwk": forger.token(header={"jwk": jwk}, key=stranger),
        "good signature, yet a jku": forger.token(header={"jku": "http://192.0.2.66/"}),
        "crit": forger.token(header={"crit": ["exp"]}),
        "unknown crit": forger.token(header={"crit": ["x"], "x": 1}),
        "b64 false": forger.token(header={"crit": ["b64"], "b64": False}),
        **{f"typ {typ}": forger.token(header={"typ": typ}) for typ in ("JWT", "rt+jwt", None)},
        **{
            f"{name} {value!r}": forger.token(claims={name: value})
            for name, value in (
                ("iss", "another"),
                ("iss", None),
                ("aud", "chat"),
                ("aud", "auth"),
                ("aud", ["aula"]),
                ("sub", ""),
                ("sub", 7),
                ("sub", "usr_absent"),
                ("sid", "fam_absent"),
                ("role", "king"),
                ("role", "service"),
                ("exp", now - 6),
                ("exp", "soon"),
                ("exp", 1e400),
                ("nbf", now + 60),
                ("nbf", "x"),
                ("iat", "x"),
            )
        },
        **{
            f"without {name}": forger.token(without=name)
            for name in ("exp", "iss", "aud", "sub", "iat", "jti", "role")
        },
        "refresh token": person.refresh_token,
        "another body": f"{head}.{segment({**forger.claims, 'role': 'admin'})}.{signature}",
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "rubbish": "rubbish",
        "empty parts": "..",
        "deep header": f"{b64(b'[' * 5_000)}.{body}.{signature}",
        "not ascii": "ä" * 10,
        "too long": "x" * 9_000,
    }


async def test_every_forgery_gets_one_identical_401(auth: Auth) -> None:
    ada = await auth.person("ada")
    forger = Forger(auth, ada)

    async def ask(token: str) -> tuple[int, bytes, tuple[tuple[str, str], ...]]:
        answer = await auth.http.get(
            "/api/auth/me",
            headers=httpx.Headers(
                {"Authorization": f"Bearer {token}", "X-Request-Id": "same"}, encoding="utf-8"
            ),
        )
        return answer.status_code, answer.content, tuple(sorted(answer.headers.items()))

    assert (await ask(forger.token()))[0] == 200
    answers = {name: await ask(token) for name, token in forgeries(forger, ada).items()}
    assert {name: status for name, (status, *_) in answers.items() if status != 401} == {}
    assert len(set(answers.values())) == 1
    bare = await auth.http.get("/api/auth/me", headers={"X-Request-Id": "same"})
    assert bare.content == next(iter(answers.values()))[1]


async def test_token_is_good_until_its_expiry_and_no_longer(auth: Auth, clock: ManualClock) -> None:
    ada = await auth.person("ada")
    clock.advance(899)
    assert (await ada.get("/api/auth/me")).status_code == 200
    clock.advance(7)
    assert (await ada.get("/api/auth/me")).status_code == 401


async def test_token_of_a_retired_key_verifies_until_the_overlap_is_over(
    auth: Auth, clock: ManualClock
) -> None:
    ada = await auth.person("ada")
    forger = Forger(auth, ada)
    signer = auth.context.signer
    assert isinstance(signer, KeyRingSigner)
    await signer.rotate()
    assert (await ada.get("/api/auth/me")).status_code == 200
    clock.advance(900 + 600)
    late = forger.token(claims={"exp": int(clock.now().timestamp() + 900)})
    answer = await auth.http.get("/api/auth/me", headers={"Authorization": f"Bearer {late}"})
    assert answer.status_code == 401
    kids = [key["kid"] for key in (await jwks(auth))["keys"]]
    assert forger.key.kid not in kids


@pytest.mark.parametrize("scheme", ["Basic", "Token", "Bearer Bearer", ""])
async def test_token_in_another_scheme_is_none(auth: Auth, scheme: str) -> None:
    ada = await auth.person("ada")
    headers = {"Authorization": f"{scheme} {ada.access_token}".strip()}
    assert (await auth.http.get("/api/auth/me", headers=headers)).status_code == 401


async def test_token_in_the_address_is_none(auth: Auth) -> None:
    ada = await auth.person("ada")
    params = {"access_token": ada.access_token}
    assert (await auth.http.get("/api/auth/me", params=params)).status_code == 401


async def jwks(auth: Auth) -> dict[str, Any]:
    document: dict[str, Any] = (await auth.http.get("/api/auth/.well-known/jwks.json")).json()
    return document
