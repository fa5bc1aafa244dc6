"""Refresh tokens: opaque to clients, recognised without the database, stored as digests only.

A token is `<family>.<generation>.<256 random bits>.<tag>`. The tag lets a spent token be told
from a made-up one long after its digest was forgotten: reuse ends the family, rubbish doesn't.
"""

import base64
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FORM = re.compile(r"(fam_[a-z0-9]{26})\.([0-9]{1,9})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{22})")
_TAG_BYTES = 16
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A token that auth has issued, now or once."""

    text: str
    family_id: str
    generation: int
    digest: bytes

    def __repr__(self) -> str:
        """Without the secret."""
        return f"RefreshToken({self.family_id}, {self.generation})"


class RefreshTokens:
    """Makes and recognises refresh tokens under one secret."""

    def __init__(self, secret: bytes) -> None:
        self._tag_key = hmac.digest(secret, b"aula refresh token tag", hashlib.sha256)
        self._digest_key = hmac.digest(secret, b"aula refresh token digest", hashlib.sha256)
        self._seal_key = hmac.digest(secret, b"aula refresh token seal", hashlib.sha256)

    def issue(self, family_id: str, generation: int) -> RefreshToken:
        """A fresh token of that family."""
        body = f"{family_id}.{generation}.{secrets.token_urlsafe(32)}"
        return self._token(f"{body}.{self._tag(body)}", family_id, generation)

    def recognise(self, text: str) -> RefreshToken | None:
        """The token, if auth has ever issued it."""
        match = _FORM.fullmatch(text)
        if match is None:
            return None
        body, tag = text.rsplit(".", 1)
        if not hmac.compare_digest(self._tag(body), tag):
            return None
        return self._token(text, match[1], int(match[2]))

    def seal(self, child: RefreshToken, *, parent: RefreshToken) -> bytes:
        """The child's text, readable only for who holds the parent, and only here."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self._sealing_key(parent)).encrypt(nonce, child.text.encode(), None)

    def unseal(self, sealed: bytes, *, parent: RefreshToken) -> RefreshToken | None:
        """The child that was sealed for this parent; None for any other."""
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            text = AESGCM(self._sealing_key(parent)).decrypt(nonce, ciphertext, None)
        except InvalidTag:
            return None
        return self.recognise(text.decode())

    def _sealing_key(self, parent: RefreshToken) -> bytes:
        return hmac.digest(self._seal_key, parent.text.encode(), hashlib.sha256)

    def _token(self, text: str, family_id: str, generation: int) -> RefreshToken:
        digest = hmac.digest(self._digest_key, text.encode(), hashlib.sha256)
        return RefreshToken(text, family_id, generation, digest)

    def _tag(self, body: str) -> str:
        tag = hmac.digest(self._tag_key, body.encode(), hashlib.sha256)[:_TAG_BYTES]
        return base64.urlsafe_b64encode(tag).rstrip(b"=").decode()
