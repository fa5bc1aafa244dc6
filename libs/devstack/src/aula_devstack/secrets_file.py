"""Secrets that are made once for a home and kept there, readable by their owner only."""

import json
import os
import secrets
from pathlib import Path

SECRET_BYTES = 32
PASSWORD_BYTES = 12


class SecretsFile:
    """`secrets.json` of a home (mode 0600). Each secret is made when it is first asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def secret(self, name: str) -> str:
        """A random secret of 32 bytes, safe in addresses."""
        return self._get_or_make(name, SECRET_BYTES)

    def password(self, name: str) -> str:
        """A random password that a person can copy."""
        return self._get_or_make(name, PASSWORD_BYTES)

    def _get_or_make(self, name: str, size: int) -> str:
        if name not in self._values:
            self._values[name] = secrets.token_urlsafe(size)
            self._save()
        return self._values[name]

    def _save(self) -> None:
        # written beside and renamed: a crash leaves the old file or the new one
        beside = self._path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self._values, file, indent=2, sort_keys=True)
        beside.replace(self._path)
