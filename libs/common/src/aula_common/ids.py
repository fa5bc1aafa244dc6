"""Identifiers: random, opaque, safe in a URL, a file name and a database key."""

import re
import secrets

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_LENGTH = 26  # 26 characters of 36: 134 bits
ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def new_id(prefix: str) -> str:
    """A fresh identifier such as `usr_5k0c…`: the prefix names the kind and nothing else."""
    return f"{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))}"


def is_id(text: str) -> bool:
    """Whether the text could be an identifier, ours or a client's own."""
    return ID_PATTERN.fullmatch(text) is not None
