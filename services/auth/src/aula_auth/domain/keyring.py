"""Signing keys: one that signs, one that will, and those that may still verify."""

import base64
import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ALGORITHM = "EdDSA"


class KeyState(StrEnum):
    """`next` is published before it signs, `retired` verifies until it expires."""

    NEXT = "next"
    CURRENT = "current"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """An Ed25519 key pair. `expires_at` is set once it has retired."""

    kid: str
    state: KeyState
    private_key: Ed25519PrivateKey = field(repr=False)
    created_at: datetime
    activated_at: datetime | None = None
    expires_at: datetime | None = None

    @classmethod
    def generate(cls, *, state: KeyState, now: datetime) -> "SigningKey":
        """A fresh key; its id is its thumbprint (RFC 7638)."""
        private_key = Ed25519PrivateKey.generate()
        return cls(
            kid=_thumbprint(private_key),
            state=state,
            private_key=private_key,
            created_at=now,
            activated_at=now if state is KeyState.CURRENT else None,
        )

    def public_jwk(self) -> dict[str, Any]:
        """The public half as a JSON Web Key."""
        return {
            **_thumbprint_members(self.private_key),
            "kid": self.kid,
            "use": "sig",
            "alg": ALGORITHM,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """All keys of one moment; `version` counts the rotations, so that one of two wins."""

    version: int
    keys: tuple[SigningKey, ...]

    @classmethod
    def create(cls, now: datetime) -> "KeyRing":
        """The first ring: a key that signs and the one after it."""
        states = (KeyState.CURRENT, KeyState.NEXT)
        return cls(
            version=1, keys=tuple(SigningKey.generate(state=state, now=now) for state in states)
        )

    @property
    def current(self) -> SigningKey:
        """The key that signs."""
        return next(key for key in self.keys if key.state is KeyState.CURRENT)

    def rotate(self, *, now: datetime, overlap: timedelta) -> "KeyRing":
        """The ring after the next key has taken over; the old one verifies for `overlap` more."""
        return KeyRing(
            version=self.version + 1,
            keys=(
                *(_advance(key, now=now, overlap=overlap) for key in self.verifying(now)),
                SigningKey.generate(state=KeyState.NEXT, now=now),
            ),
        )

    def is_due(self, *, now: datetime, lifetime: timedelta) -> bool:
        """Whether the current key has signed for long enough."""
        activated_at = self.current.activated_at or self.current.created_at
        return now - activated_at >= lifetime

    def verifying(self, now: datetime) -> tuple[SigningKey, ...]:
        """The keys that may still verify a token, or soon will."""
        return tuple(key for key in self.keys if key.expires_at is None or key.expires_at > now)

    def jwks(self, now: datetime) -> dict[str, Any]:
        """The JSON Web Key Set to publish."""
        return {"keys": [key.public_jwk() for key in self.verifying(now)]}


def _advance(key: SigningKey, *, now: datetime, overlap: timedelta) -> SigningKey:
    if key.state is KeyState.CURRENT:
        return replace(key, state=KeyState.RETIRED, expires_at=now + overlap)
    if key.state is KeyState.NEXT:
        return replace(key, state=KeyState.CURRENT, activated_at=now)
    return key


def _thumbprint_members(private_key: Ed25519PrivateKey) -> dict[str, str]:
    public = private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"crv": "Ed25519", "kty": "OKP", "x": _base64url(public)}


def _thumbprint(private_key: Ed25519PrivateKey) -> str:
    canonical = json.dumps(_thumbprint_members(private_key), separators=(",", ":"), sort_keys=True)
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
