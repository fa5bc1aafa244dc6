"""The signing keys in MongoDB, sealed: who reads the database can't sign."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pymongo.errors import DuplicateKeyError

from aula_auth.domain.errors import KeyRingUnreadableError
from aula_auth.domain.keyring import KeyRing, KeyState, SigningKey
from aula_auth.storage.database import Database
from aula_auth.storage.documents import KeyRingDocument
from aula_common.mongo import mongo_errors

_ID = "access"
_NONCE_BYTES = 12


class KeyRingRepository:
    """The one key ring; private keys are under AES-256-GCM, bound to their id."""

    def __init__(self, database: Database, *, secret: bytes) -> None:
        self._rings = database[KeyRingDocument.Settings.name]
        derived = HKDF(
            algorithm=SHA256(),
            length=hashlib.sha256().digest_size,
            salt=None,
            info=b"aula signing keys at rest",
        ).derive(secret)
        self._cipher = AESGCM(derived)

    async def load(self) -> KeyRing | None:
        """The ring; None before the first start.

        KeyRingUnreadableError if it was sealed with another secret.
        """
        with mongo_errors():
            found = await self._rings.find_one({"_id": _ID})
        if found is None:
            return None
        return KeyRing(
            version=found["version"], keys=tuple(self._open(entry) for entry in found["keys"])
        )

    async def create(self, ring: KeyRing) -> bool:
        """Store the first ring; False if another process was first."""
        with mongo_errors():
            try:
                await self._rings.insert_one({"_id": _ID, **self._document(ring)})
            except DuplicateKeyError:
                return False
        return True

    async def replace(self, ring: KeyRing) -> bool:
        """Store the ring in the place of the version before; False if another was first."""
        with mongo_errors():
            result = await self._rings.replace_one(
                {"_id": _ID, "version": ring.version - 1}, self._document(ring)
            )
        return result.matched_count == 1

    def _document(self, ring: KeyRing) -> dict[str, Any]:
        return {"version": ring.version, "keys": [self._seal(key) for key in ring.keys]}

    def _seal(self, key: SigningKey) -> dict[str, Any]:
        nonce = os.urandom(_NONCE_BYTES)
        private = key.private_key.private_bytes_raw()
        return {
            "kid": key.kid,
            "state": key.state,
            "sealed": nonce + self._cipher.encrypt(nonce, private, key.kid.encode()),
            "created_at": key.created_at,
            "activated_at": key.activated_at,
            "expires_at": key.expires_at,
        }

    def _open(self, entry: Mapping[str, Any]) -> SigningKey:
        nonce, sealed = entry["sealed"][:_NONCE_BYTES], entry["sealed"][_NONCE_BYTES:]
        try:
            private = self._cipher.decrypt(nonce, sealed, entry["kid"].encode())
        except InvalidTag as error:
            raise KeyRingUnreadableError from error
        return SigningKey(
            kid=entry["kid"],
            state=KeyState(entry["state"]),
            private_key=Ed25519PrivateKey.from_private_bytes(private),
            created_at=entry["created_at"],
            activated_at=entry["activated_at"],
            expires_at=entry["expires_at"],
        )
