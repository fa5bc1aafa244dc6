"""Programs of the platform that may have tokens of their own."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aula_auth.domain.errors import InvalidScopeError, InvalidTargetError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceClient:
    """A service and, for each service that it may call, the scopes that it may have there."""

    id: str
    secret: str = field(repr=False)
    scopes: Mapping[str, frozenset[str]]

    def grant(self, *, audience: str | None, scope: str | None) -> "Grant":
        """What the client gets for its wish: all that it may have, unless it asks for less.

        InvalidTargetError for an audience that it may not call, or if none is named and there
        are several; InvalidScopeError for a scope beyond its own.
        """
        if audience is None and len(self.scopes) == 1:
            audience = next(iter(self.scopes))
        if audience is None or audience not in self.scopes:
            raise InvalidTargetError
        allowed = self.scopes[audience]
        wanted = frozenset(scope.split(" ")) - {""} if scope else allowed
        if not wanted or not wanted <= allowed:
            raise InvalidScopeError
        return Grant(client_id=self.id, audience=audience, scopes=wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one service may do at another."""

    client_id: str
    audience: str
    scopes: frozenset[str]
