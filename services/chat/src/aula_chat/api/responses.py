"""Answers that are event streams."""

from collections.abc import AsyncGenerator
from functools import partial

from aula_chat.domain.readers import CutReason
from aula_chat.factory import Process
from aula_common.web.sse import EventStreamResponse, Outlet


def events_response(
    services: Process,
    events: AsyncGenerator[bytes, None],
    outlet: Outlet,
    *,
    headers: dict[str, str] | None = None,
) -> EventStreamResponse:
    """The events as they come, by themselves or by the outlet, within the send deadline."""
    return EventStreamResponse(
        events,
        outlet=outlet,
        headers=headers,
        send_deadline=services.settings.streams.reader_send_seconds,
        on_cut=partial(services.readers.cut, CutReason.STUCK),
    )
