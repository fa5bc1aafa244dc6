"""Identifiers: random, opaque, safe in a URL, a file name and a database key."""

import re
import secrets

_ALPHABET = b"abcdefghijklmnopqrstuvwxyz0123456789"
_LENGTH = 26  # 26 characters of 36: 134 bits
# a random byte to a character; those left over would make some characters likelier than others
_LEFT_OVER = bytes(range(256 - 256 % len(_ALPHABET), 256))
_CHARACTERS = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))
_RANDOM_BYTES = 36  # enough at once, but for one identifier of 10^11
ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def new_id(prefix: str) -> str:
    """A fresh identifier such as `usr_5k0c…`: the prefix names the kind and nothing else."""
    characters = b""
    while len(characters) < _LENGTH:
        # in one go: a draw for each character would cost a stream's start a quarter millisecond
        characters += secrets.token_bytes(_RANDOM_BYTES).translate(_CHARACTERS, _LEFT_OVER)
    return f"{prefix}_{characters[:_LENGTH].decode()}"


def is_id(text: str) -> bool:
    """Whether the text could be an identifier, ours or a client's own."""
    return ID_PATTERN.fullmatch(text) is not None
