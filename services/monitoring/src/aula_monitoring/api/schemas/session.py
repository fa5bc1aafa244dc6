"""Past conversations on the wire: chat's own documents, passed on."""

from typing import Any

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from aula_common.web.schemas import Pagination, ResponseModel


class _PassedOn(ResponseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="allow", serialize_by_alias=True)


class SessionBody(_PassedOn):
    """A conversation as chat shows it; in the mode summary without title and content."""

    session_id: str


class SessionWithMessagesBody(SessionBody):
    """A conversation with its messages."""

    messages: list[dict[str, Any]]


class SessionList(_PassedOn):
    """A page of conversations, latest first."""

    sessions: list[SessionBody]
    pagination: Pagination
