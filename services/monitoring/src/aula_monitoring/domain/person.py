"""People as auth knows them."""

from dataclasses import dataclass

from aula_common.security.principal import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user's names and role; `display_name` may be unset."""

    id: str
    username: str
    role: Role
    display_name: str | None = None

    @property
    def name(self) -> str:
        """What to call the person."""
        return self.display_name or self.username
