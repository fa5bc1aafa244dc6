"""Requests that move money and may be sent again."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

KEPT_FOR = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A caller's own key for one request; `digest` tells whether it is the same request."""

    caller_id: str
    key: str
    digest: str


def digest_of(operation: str, content: Mapping[str, Any]) -> str:
    """A digest of an operation and its content, whatever the order of the content's members."""
    text = json.dumps([operation, content], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
