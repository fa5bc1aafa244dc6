"""What an observer may see of a student."""

from dataclasses import dataclass

from aula_monitoring.domain.relationship import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """Leave to look at one person; without a relationship it is an administrator's.

    `mode` is never off: that is no permission.
    """

    student_id: str
    mode: Mode
    relationship_id: str | None = None

    @property
    def shows_text(self) -> bool:
        """Whether what was written may be shown."""
        return self.mode is Mode.LIVE
