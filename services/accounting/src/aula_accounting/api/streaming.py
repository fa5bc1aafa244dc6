"""Reservations of streaming sessions."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.datastructures import State

from aula_accounting.api.dependencies import (
    WRITE_SCOPE,
    ContextNeeded,
    PageWanted,
    SessionIdInPath,
    StreamingReader,
    StreamingService,
    UserIdInPath,
    sees_all,
    whose,
)
from aula_accounting.api.links import OF_STREAM
from aula_accounting.api.schemas.streaming import (
    AbortRequest,
    ActiveSessionPage,
    ActiveSessionView,
    FinalizeRequest,
    HeartbeatAnswer,
    HeartbeatRequest,
    InitializedAnswer,
    InitializeRequest,
    SessionView,
    SettlementAnswer,
)
from aula_accounting.domain.errors import (
    CreditsHeldError,
    InsufficientCreditsError,
    QuotaExceededError,
    ReservationConflictError,
    SessionSettledError,
    TooManyStreamsError,
)
from aula_accounting.factory import Context
from aula_common.errors import NotFoundError
from aula_common.web.access import require_scope
from aula_common.web.answers import refusals
from aula_common.web.schemas import Page, Pagination, RequestModel, ResponseModel
from aula_common.web.thin import ThinRequest, ThinRoute


class _NoAction(StringConvertor):
    # the path of an action is not that of a session, whatever the method
    regex = r"(?!(?:initialize|heartbeat|finalize|abort)(?:/|$))[^/]+"


register_url_convertor("no_action", _NoAction())

_RESERVE_REFUSALS = refusals(
    InsufficientCreditsError,
    CreditsHeldError,
    ReservationConflictError,
    SessionSettledError,
    TooManyStreamsError,
    QuotaExceededError,
)
_ABSENT = refusals(NotFoundError)

router = APIRouter(prefix="/streaming", tags=["streaming"])


async def initialize(
    principal: StreamingService, context: ContextNeeded, body: InitializeRequest
) -> InitializedAnswer:
    """Hold credits for a stream at the dearest of its models' rates, and freeze these rates."""
    reservation = await context.streaming.initialize(body.to_request(principal.id))
    return InitializedAnswer.of(reservation)


async def finalize(
    principal: StreamingService, context: ContextNeeded, body: FinalizeRequest
) -> SettlementAnswer:
    """Charge what was used, at most the hold; a session that is over answers as it ended."""
    return SettlementAnswer.of(await context.streaming.settle(body.to_request(principal.id)))


async def abort(
    principal: StreamingService, context: ContextNeeded, body: AbortRequest
) -> SettlementAnswer:
    """Charge what was shown; before any initialize, refuse the one that may still come."""
    return SettlementAnswer.of(await context.streaming.settle(body.to_request(principal.id)))


@router.post(
    "/heartbeat",
    operation_id="heartbeat",
    responses=refusals(NotFoundError, SessionSettledError),
)
async def heartbeat(
    _principal: StreamingService, context: ContextNeeded, body: HeartbeatRequest
) -> HeartbeatAnswer:
    """Report progress, for the sweeper."""
    reservation = await context.streaming.report_progress(body.to_report())
    return HeartbeatAnswer.model_validate(reservation)


@router.get("/active")
async def list_active(
    principal: StreamingReader, context: ContextNeeded, page: PageWanted
) -> ActiveSessionPage:
    """One's own running streams; for admins and services everybody's."""
    return await _active(context, whose(principal, None), page)


@router.get("/active/{userId}", responses=_ABSENT)
async def list_active_of_user(
    principal: StreamingReader, context: ContextNeeded, page: PageWanted, user_id: UserIdInPath
) -> ActiveSessionPage:
    """A user's running streams."""
    if not sees_all(principal) and user_id != principal.id:
        raise NotFoundError
    return await _active(context, user_id, page)


@router.get("/{sessionId:no_action}", operation_id="get_session", responses=_ABSENT)
async def get_session(
    principal: StreamingReader, context: ContextNeeded, session_id: SessionIdInPath
) -> SessionView:
    """A streaming session with its holds and ledger entries."""
    owner = None if sees_all(principal) else principal.id
    return SessionView.of(*await context.streaming.get_session(session_id, user_id=owner))


async def _active(context: Context, user_id: str | None, page: Page) -> ActiveSessionPage:
    sessions, total = await context.streaming.list_active(
        user_id, offset=page.offset, limit=page.limit
    )
    return ActiveSessionPage(
        sessions=[ActiveSessionView.model_validate(session) for session in sessions],
        pagination=Pagination.of(page, total),
    )


alias_router = APIRouter(tags=["streaming"])
for _target, _name in ((router, ""), (alias_router, "_alias")):
    _target.post(
        "/initialize",
        status_code=201,
        operation_id=f"initialize{_name}",
        responses={**_RESERVE_REFUSALS, **OF_STREAM},
    )(initialize)
    _target.post("/finalize", operation_id=f"finalize{_name}", responses=_ABSENT)(finalize)
    _target.post("/abort", operation_id=f"abort{_name}", responses=_ABSENT)(abort)


def thin_routes(prefix: str, alias_prefix: str) -> list[ThinRoute[Any]]:
    """The hot path of these endpoints; the alias' too."""
    endpoints: tuple[tuple[str, int, type[RequestModel], Any], ...] = (
        ("/initialize", 201, InitializeRequest, initialize),
        ("/heartbeat", 200, HeartbeatRequest, heartbeat),
        ("/finalize", 200, FinalizeRequest, finalize),
        ("/abort", 200, AbortRequest, abort),
    )
    routes = []
    for path, status, body, endpoint in endpoints:
        places = [(f"{prefix}{router.prefix}{path}", f"{router.prefix}{path}")]
        if endpoint is not heartbeat:
            places.append((f"{alias_prefix}{path}", path))
        for target, label in places:
            routes.append(
                ThinRoute(
                    target=target,
                    path=label,
                    admit=partial(require_scope, scope=WRITE_SCOPE),
                    body=body,
                    status=status,
                    answer=_answered_by(endpoint),
                )
            )
    return routes


def _answered_by(endpoint: Any) -> Callable[[State, ThinRequest[Any]], Awaitable[ResponseModel]]:
    def answer(state: State, asked: ThinRequest[Any]) -> Awaitable[ResponseModel]:
        answered: Awaitable[ResponseModel] = endpoint(asked.principal, state.context, asked.body)
        return answered

    return answer
