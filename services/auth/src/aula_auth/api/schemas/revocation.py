"""The revocation feed on the wire."""

from datetime import datetime

from aula_auth.domain.revocation import RevocationKind
from aula_common.web.schemas import ResponseModel


class RevocationBody(ResponseModel):
    """Refuse that family's tokens, or that person's issued up to `at`, until `expiresAt`."""

    kind: RevocationKind
    id: str
    at: datetime
    expires_at: datetime


class RevocationList(ResponseModel):
    """What was withdrawn; ask next with `since` = `next`. Entries may come more than once."""

    revocations: list[RevocationBody]
    now: datetime
    next: datetime
