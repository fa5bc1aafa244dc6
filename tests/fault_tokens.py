"""Access tokens as auth would sign them, but of other lifetimes, and under keys that it has not."""

import time
from typing import Any

import httpx
import jwt
from e2e_people import Person
from pymongo import AsyncMongoClient

from aula_auth.domain.keyring import ALGORITHM, KeyState, SigningKey
from aula_auth.storage.keyring import KeyRingRepository
from aula_common.clock import SystemClock
from aula_common.ids import new_id
from aula_devstack.platform import Platform

_DATABASE = "aula_auth"
_TYPE = "at+jwt"
_PREFIX = "Bearer "


async def short_lived(platform: Platform, person: Person, *, seconds: float) -> Person:
    """The same person, signed in for so long from now, rounded up to a whole second."""
    claims = {**_claims(person), "exp": int(time.time() + seconds) + 1}
    return _with_token(person, _signed(claims, await _current_key(platform)))


async def of_auth_itself(platform: Platform, *scopes: str, audience: str) -> str:
    """A service token with which auth calls another service."""
    now = int(time.time())
    claims = {
        "iss": "aula", "aud": audience, "sub": "auth", "role": "service",
        "scope": " ".join(scopes), "iat": now, "nbf": now, "exp": now + 900, "jti": new_id("tok"),
    }  # fmt: skip
    return _signed(claims, await _current_key(platform))


def under_unknown_key(person: Person) -> Person:
    """The same person with a token whose key auth does not have, another one each time."""
    key = SigningKey.generate(state=KeyState.CURRENT, now=SystemClock().now())
    return _with_token(person, _signed(_claims(person), key))


async def _current_key(platform: Platform) -> SigningKey:
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(platform.mongo.url) as client:
        secret = platform.auth.environment["SIGNING_KEYS_SECRET"].encode()
        ring = await KeyRingRepository(client[_DATABASE], secret=secret).load()
    assert ring is not None
    return ring.current


def _claims(person: Person) -> dict[str, Any]:
    token = person.client.headers["Authorization"].removeprefix(_PREFIX)
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def _signed(claims: dict[str, Any], key: SigningKey) -> str:
    headers = {"typ": _TYPE, "kid": key.kid}
    return jwt.encode(claims, key.private_key, algorithm=ALGORITHM, headers=headers)


def _with_token(person: Person, token: str) -> Person:
    """Close its client in the end."""
    client = httpx.AsyncClient(
        base_url=person.client.base_url,
        timeout=person.client.timeout,
        headers={"Authorization": f"{_PREFIX}{token}"},
    )
    return Person(client, user_id=person.id, name=person.name)
