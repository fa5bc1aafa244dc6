"""Relationships on the wire."""

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, model_validator

from aula_common.web.schemas import Identifier, Pagination, RequestModel, ResponseModel
from aula_monitoring.domain.relationship import (
    Mode,
    Relationship,
    RelationshipChanges,
    Status,
)

_FIRST_YEAR = 2000
_LAST_YEAR = 2200


def _require_text(value: Any) -> Any:
    if not isinstance(value, str | datetime):
        msg = "must be a time as in RFC 3339"
        raise ValueError(msg)
    return value


def _require_near(value: datetime) -> datetime:
    if not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        msg = f"must lie between the years {_FIRST_YEAR} and {_LAST_YEAR}"
        raise ValueError(msg)
    moment = value.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


Moment = Annotated[AwareDatetime, BeforeValidator(_require_text), AfterValidator(_require_near)]


class CreateRelationshipRequest(RequestModel):
    """Who shall supervise whom; from now on and without an end unless said otherwise."""

    supervisor_id: Identifier
    student_id: Identifier
    mode: Mode = Mode.LIVE
    valid_from: Annotated[Moment | None, Field(alias="from")] = None
    valid_until: Annotated[Moment | None, Field(alias="until")] = None


class ChangeRelationshipRequest(RequestModel):
    """What to change. Only `until` may be null: then there is no end."""

    mode: Mode | None = None
    status: Status | None = None
    valid_from: Annotated[Moment | None, Field(alias="from")] = None
    valid_until: Annotated[Moment | None, Field(alias="until")] = None

    @model_validator(mode="after")
    def _refuse_null(self) -> Self:
        for name in self.model_fields_set - {"valid_until"}:
            if getattr(self, name) is None:
                msg = "only until may be null"
                raise ValueError(msg)
        return self

    def changes(self) -> RelationshipChanges:
        """What was asked for and nothing else."""
        changes: RelationshipChanges = {}
        if self.mode is not None:
            changes["mode"] = self.mode
        if self.status is not None:
            changes["status"] = self.status
        if self.valid_from is not None:
            changes["valid_from"] = self.valid_from
        if "valid_until" in self.model_fields_set:
            changes["valid_until"] = self.valid_until
        return changes


class RelationshipBody(ResponseModel):
    """A relationship; `status` is ended once its time is over, too."""

    id: str
    supervisor_id: str
    student_id: str
    mode: Mode
    status: Status
    valid_from: Annotated[datetime, Field(alias="from")]
    valid_until: Annotated[datetime | None, Field(alias="until")]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, relationship: Relationship, *, over: bool) -> "RelationshipBody":
        """The relationship as it stands now."""
        return cls(
            id=relationship.id,
            supervisor_id=relationship.supervisor_id,
            student_id=relationship.student_id,
            mode=relationship.mode,
            status=Status.ENDED if over else relationship.status,
            valid_from=relationship.valid_from,
            valid_until=relationship.valid_until,
            created_at=relationship.created_at,
            updated_at=relationship.updated_at,
        )


class RelationshipList(ResponseModel):
    """A page of relationships."""

    relationships: list[RelationshipBody]
    pagination: Pagination
