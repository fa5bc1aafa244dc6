"""Operations on streams as lists: one statement each, in a transaction of its own."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from aula_accounting.domain.errors import AnswerLostError, ContendedError
from aula_accounting.domain.streaming import (
    ProgressOutcome,
    ProgressReport,
    ReserveRequest,
    SettleOutcome,
    SettleRequest,
    SettleVerdict,
    StreamingOperation,
    StreamingOutcome,
)
from aula_accounting.storage.streaming import COLUMNS, reserve_outcome, to_reservation
from aula_common.errors import UnavailableError
from aula_common.postgres import is_away, is_contention

_APPLY = (
    f"SELECT f.place, f.outcome, f.detail, {COLUMNS} "  # noqa: S608 - names of our own columns
    "FROM apply_streaming($1, $2, $3, $4, $5, $6, $7) AS f"
)
_LISTS = (ReserveRequest, SettleRequest, ProgressReport)
_DATABASE = "the database"

Connect = Callable[[], Awaitable[Any]]


class _Session:
    """A connection and the statement prepared on it."""

    def __init__(self, connection: Any, statement: Any) -> None:
        self.connection = connection
        self.statement = statement


class SqlStreamingBatches:
    """StreamingBatches on PostgreSQL.

    Autocommit: the answer to the statement is the commit's. A list takes one round trip, where a
    unit of work takes four: to look whether the connection lives, BEGIN, the statement, COMMIT. A
    connection that has died meanwhile is found by the lost answer.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._idle: list[_Session] = []

    async def apply(
        self,
        operations: Sequence[StreamingOperation],
        *,
        at: datetime,
        lease: timedelta,
        running_limit: int,
        patient: bool,
    ) -> Sequence[StreamingOutcome | None]:
        """What became of each; None for one whose account another transaction has locked.

        UnavailableError, AnswerLostError, ContendedError.
        """
        session = self._idle.pop() if self._idle else await self._open()
        healthy = False
        try:
            rows = await session.statement.fetch(
                *_to_lists(operations), at, lease, running_limit, patient
            )
            healthy = True
        except asyncpg.PostgresError as error:
            healthy = not is_away(error)
            if is_contention(error):
                raise ContendedError from error
            if not healthy:
                raise AnswerLostError from error
            raise
        except TimeoutError as error:
            raise UnavailableError(_DATABASE) from error
        except (asyncpg.InterfaceError, OSError) as error:
            if isinstance(error, asyncpg.InterfaceError) and not session.connection.is_closed():
                healthy = True
                raise
            raise AnswerLostError from error
        finally:
            if healthy and not session.connection.is_closed():
                self._idle.append(session)
            else:
                session.connection.terminate()
        outcomes: list[StreamingOutcome | None] = [None] * len(operations)
        for row in rows:
            outcomes[row["place"]] = _outcome(row, operations[row["place"]])
        return outcomes

    async def close(self) -> None:
        """Close what is not in use."""
        while self._idle:
            self._idle.pop().connection.terminate()

    async def _open(self) -> _Session:
        try:
            connection = await self._connect()
            await connection.set_type_codec(
                "jsonb", schema="pg_catalog", encoder=str, decoder=msgspec.json.decode
            )
            return _Session(connection, await connection.prepare(_APPLY))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise UnavailableError(_DATABASE) from error


def _to_lists(operations: Sequence[StreamingOperation]) -> list[str]:
    """The three lists of JSON that the function takes."""
    lists: dict[type, list[bytes]] = {kind: [] for kind in _LISTS}
    for place, operation in enumerate(operations):
        kind = b""
        if not isinstance(operation, SettleRequest):  # whose own kind is among its fields
            kind = b'"kind":"%s",' % (
                b"reserve" if isinstance(operation, ReserveRequest) else b"report"
            )
        fields = msgspec.json.encode(operation)
        lists[type(operation)].append(b'{"place":%d,%s%s' % (place, kind, fields[1:]))
    return [f"[{b','.join(members).decode()}]" for members in lists.values()]


def _outcome(row: Any, operation: StreamingOperation) -> StreamingOutcome | None:
    if row["outcome"] == "busy":
        return None
    if isinstance(operation, ReserveRequest):
        return reserve_outcome(row)
    reservation = to_reservation(row) if row["session_id"] is not None else None
    if isinstance(operation, SettleRequest):
        return SettleOutcome(verdict=SettleVerdict(row["outcome"]), reservation=reservation)
    return ProgressOutcome(reservation=reservation)
