"""What callers of monitoring may expect to be refused."""

from aula_common.errors import ConflictError, RateLimitedError


class RelationshipExistsError(ConflictError):
    """The two have an active relationship already."""

    code = "relationship_exists"

    def __init__(self) -> None:
        super().__init__("There is an active relationship of these two; change or end that one.")


class RelationshipEndedError(ConflictError):
    """An ended relationship stays as it is."""

    code = "relationship_ended"

    def __init__(self) -> None:
        super().__init__("An ended relationship can't be changed; make a new one.")


class RelationshipChangedError(ConflictError):
    """Others changed the relationship again and again meanwhile."""

    code = "relationship_changed"

    def __init__(self) -> None:
        super().__init__("The relationship was changed at the same time; try again.")


class TooManyObservationsError(RateLimitedError):
    """The observer holds as many observations as anybody may."""

    code = "too_many_observations"

    def __init__(self, limit: int) -> None:
        super().__init__(
            retry_after=5, limit=limit, detail=f"You may observe {limit} conversations at once."
        )
