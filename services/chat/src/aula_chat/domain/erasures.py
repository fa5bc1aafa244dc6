"""The wish that nothing of a person is kept."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """Whose it is, since when it is asked for, and when nothing was left; None until then.

    `session_ids` are those of the sessions that were the person's: what was on its way to them
    may still come.
    """

    user_id: str
    asked_at: datetime
    erased_at: datetime | None = None
    session_ids: tuple[str, ...] = ()
