"""What endpoints are given: the process context, the position to resume from.

Coroutines, though none waits: FastAPI runs plain functions in threads, which cost more than these.
"""

import re
from typing import Annotated

from fastapi import Depends, Header, Request

from aula_common.errors import MalformedRequestError
from aula_monitoring.factory import Context

_EVENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\.[0-9]{1,8}")


async def get_context(request: Request) -> Context:
    """The services of this process."""
    context: Context = request.app.state.context
    return context


async def read_last_event_id(
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> str | None:
    """The id of the last event that the observer has. MalformedRequestError if it is none."""
    if last_event_id is not None and _EVENT_ID.fullmatch(last_event_id) is None:
        raise MalformedRequestError("Last-Event-ID is not the id of an event.")
    return last_event_id


Services = Annotated[Context, Depends(get_context)]
LastEventId = Annotated[str | None, Depends(read_last_event_id)]
