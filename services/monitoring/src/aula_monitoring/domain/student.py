"""A supervisor's students, and what they are doing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aula_monitoring.domain.person import Person
from aula_monitoring.domain.relationship import Relationship


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningStream:
    """An answer being generated; `session_id` is the conversation it belongs to."""

    streaming_session_id: str
    session_id: str | None
    model_id: str | None
    started_at: datetime
    tokens_generated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    """A relationship with whom it concerns; `person` is None if auth no longer knows them.

    `streams` is None where the mode shows nothing.
    """

    relationship: Relationship
    person: Person | None
    streams: Sequence[RunningStream] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundUser:
    """A person whom a search found, and how many conversations they have."""

    person: Person
    session_count: int
