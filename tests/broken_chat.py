"""Chat with one promise broken on purpose: `BREACH=<name> python -m broken_chat`.

Each breach changes the running program where the promise is kept, so that the cells of the fault
table can be shown to notice. The names are those of the functions below.
"""

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from aula_chat.clients.accounting import AccountingClient
from aula_chat.domain.events import event_frame
from aula_chat.domain.messages import Message
from aula_chat.domain.streams import (
    Outcome,
    Reservation,
    Settlement,
    SettlementIntent,
    Stream,
    intent_of,
)
from aula_chat.main import main
from aula_chat.services import conclusions, live_streams
from aula_chat.services.conclusions import Conclusions
from aula_chat.services.live_streams import LiveStream
from aula_chat.storage import stream_log
from aula_chat.storage.streams import StreamRepository
from aula_chat.storage.turns import TurnRepository

VARIABLE = "BREACH"


def fence_ignored() -> None:
    """A stream that another process has taken is written on: its document and its log."""
    unfenced = stream_log._APPEND.replace("if fence > mine", "if false")
    assert unfenced != stream_log._APPEND
    stream_log._APPEND = unfenced
    LiveStream.lease_valid = property(lambda _: True)  # type: ignore[method-assign, assignment]
    begin = StreamRepository.__init__

    def begin_unfenced(self: StreamRepository, collection: Any) -> None:
        begin(self, cast("Any", _Unfenced(collection)))

    StreamRepository.__init__ = begin_unfenced  # type: ignore[method-assign]
    publish = TurnRepository.publish

    async def publish_unfenced(
        self: TurnRepository, ended: Stream, messages: Sequence[Message], *, title: str
    ) -> bool:
        document = await self._streams.find_one({"_id": ended.id})
        fence = document["fence"] if document else ended.fence
        return await publish(self, replace(ended, fence=fence), messages, title=title)

    TurnRepository.publish = publish_unfenced  # type: ignore[method-assign]


class _Unfenced:
    """A collection whose conditional writes by fence have no condition."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    async def update_one(self, query: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return await self._collection.update_one(_open(query), *args, **kwargs)

    async def find_one_and_update(self, query: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return await self._collection.find_one_and_update(_open(query), *args, **kwargs)


def _open(query: dict[str, Any]) -> dict[str, Any]:
    return {"_id": query["_id"]} if "fence" in query else query


def fence_missing_in_renewals() -> None:
    """A stream that another process has taken is still renewed."""
    _drop_fence("find_one_and_update")


def fence_missing_in_ends() -> None:
    """The end of a stream that another process has taken is still stored."""
    _drop_fence("update_one")


def _drop_fence(method: str) -> None:
    """Have these writes to stream documents keep all of their conditions but the fence."""
    begin = StreamRepository.__init__

    def begin_unfenced(self: StreamRepository, collection: Any) -> None:
        begin(self, cast("Any", _WithoutFence(collection, method)))

    StreamRepository.__init__ = begin_unfenced  # type: ignore[method-assign]


class _WithoutFence:
    """A collection of which one method is asked for any fence."""

    def __init__(self, collection: Any, method: str) -> None:
        self._collection = collection
        self._method = method

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._collection, name)
        if name != self._method:
            return method

        def call(query: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            rest = {key: value for key, value in query.items() if key != "fence"}
            return method(rest, *args, **kwargs)

        return call


def log_unguarded() -> None:
    """What a process appends after it lost its lease is taken by the log."""
    unfenced = stream_log._APPEND.replace("if fence > mine", "if false")
    assert unfenced != stream_log._APPEND
    stream_log._APPEND = unfenced.replace("if top ~= tonumber(ARGV[2])", "if false")
    LiveStream.lease_valid = property(lambda _: True)  # type: ignore[method-assign, assignment]


def delivered_before_logged() -> None:
    """Readers see what the log has not got yet."""
    emit = LiveStream.emit

    def emit_at_once(self: LiveStream, event: str, data: dict[str, object]) -> None:
        emit(self, event, data)
        self.view.release(len(self.view.frames))

    LiveStream.emit = emit_at_once  # type: ignore[method-assign]


def settled_before_stored() -> None:
    """Accounting is told before the end is stored."""
    conclude = Conclusions.conclude

    async def settle_first(
        self: Conclusions, stream: Stream, outcome: Outcome, *, last_number: int
    ) -> Stream:
        early = replace(stream, outcome=outcome, intent=intent_of(outcome, stream.reservation))
        await self._settlements.try_settle(early)
        return await conclude(self, stream, outcome, last_number=last_number)

    Conclusions.conclude = settle_first  # type: ignore[method-assign]


def intent_forgotten() -> None:
    """What accounting has not answered is not asked again."""
    publish = TurnRepository.publish

    async def publish_as_settled(
        self: TurnRepository, ended: Stream, messages: Sequence[Message], *, title: str
    ) -> bool:
        released = await publish(self, ended, messages, title=title)
        await self._streams.update_one({"_id": ended.id}, {"$unset": {"unsettled": ""}})
        return released

    TurnRepository.publish = publish_as_settled  # type: ignore[method-assign]


def number_skipped() -> None:
    """An event's number is left out."""

    def skipping(stream_id: str, number: int, event: str, data: dict[str, object]) -> bytes:
        return event_frame(stream_id, number + (number > 10), event, data)

    live_streams.event_frame = skipping  # type: ignore[attr-defined]


def ended_twice() -> None:
    """A stream has two terminal events."""
    emit = LiveStream.emit

    def emit_ends_twice(self: LiveStream, event: str, data: dict[str, object]) -> None:
        for _ in range(2 if event == "complete" else 1):
            emit(self, event, data)

    LiveStream.emit = emit_ends_twice  # type: ignore[method-assign]


def text_lost() -> None:
    """The stored message lacks the last of what was shown."""
    whole = conclusions.answer_message

    def shortened(stream: Stream, outcome: Outcome) -> Message:
        message = whole(stream, outcome)
        return replace(message, content=message.content[:-1])

    conclusions.answer_message = shortened


def charged_too_much() -> None:
    """Accounting is told of more tokens than are stored."""
    _change_settle(lambda intent: replace(intent, output_tokens=intent.output_tokens + 700))


def _change_settle(change: Callable[[SettlementIntent], SettlementIntent]) -> None:
    settle = AccountingClient.settle

    async def settle_changed(
        self: AccountingClient, stream_id: str, user_id: str, intent: SettlementIntent
    ) -> Settlement | None:
        return await settle(self, stream_id, user_id, change(intent))

    AccountingClient.settle = settle_changed  # type: ignore[method-assign]


def reserved_twice() -> None:
    """Credits are held for a stream that there is not."""
    reserve: Callable[..., Awaitable[int]] = AccountingClient.reserve

    async def reserve_twice(
        self: AccountingClient,
        stream_id: str,
        user_id: str,
        session_id: str,
        reservation: Reservation,
    ) -> int:
        await reserve(self, f"{stream_id}x", user_id, session_id, reservation)
        return await reserve(self, stream_id, user_id, session_id, reservation)

    AccountingClient.reserve = reserve_twice  # type: ignore[method-assign]


BREACHES = {
    breach.__name__: breach
    for breach in (
        fence_ignored,
        fence_missing_in_renewals,
        fence_missing_in_ends,
        log_unguarded,
        delivered_before_logged,
        settled_before_stored,
        intent_forgotten,
        number_skipped,
        ended_twice,
        text_lost,
        charged_too_much,
        reserved_twice,
    )
}


def environment() -> dict[str, str]:
    """What a process needs to be started with for the breach that this run asks for, if any."""
    if os.environ.get(VARIABLE) not in BREACHES:
        return {}
    return {VARIABLE: os.environ[VARIABLE], "PYTHONPATH": str(Path(__file__).parent)}


if __name__ == "__main__":
    BREACHES[os.environ[VARIABLE]]()
    main()
