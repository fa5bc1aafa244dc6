"""Accounting over HTTP."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from aula_chat.domain.errors import ModelUnknownError, ReservationRefusedError
from aula_chat.domain.models import Rate
from aula_chat.domain.streams import (
    Reservation,
    Settlement,
    SettlementIntent,
    SettlementKind,
)
from aula_common.errors import UnavailableError
from aula_common.http import Answer, ServiceClient

_PREFIX = "/api/accounting"
_STREAMING = f"{_PREFIX}/streaming"
_NOT_FOUND, _UNPROCESSABLE = 404, 422
_REFUSALS = frozenset({402, 429})


class AccountingClient:
    """CreditAccounts over accounting's API.

    Progress is reported by a client of its own, whose circuit may open: reports may all fail.
    """

    def __init__(self, client: ServiceClient, *, reports: ServiceClient) -> None:
        self._client = client
        self._reports = reports

    async def reserve(
        self, stream_id: str, user_id: str, session_id: str, reservation: Reservation
    ) -> int:
        """Hold credits; the output tokens that the stream may have at most."""
        first, *fallbacks = reservation.model_ids
        body: dict[str, Any] = {
            "sessionId": stream_id,
            "userId": user_id,
            "chatSessionId": session_id,
            "modelId": first,
            "inputTokens": reservation.input_tokens,
            "maxOutputTokens": reservation.max_output_tokens,
        }
        if reservation.tier is not None:
            body["tier"] = reservation.tier
        if fallbacks:
            body["fallbackModelIds"] = fallbacks
        answer = await self._post("initialize", body, user_id, deadline=5)
        if answer.ok:
            return int(answer.body["maxOutputTokens"])
        if answer.status in _REFUSALS:
            kept = {
                "Retry-After",
                "X-RateLimit-Limit",
                "X-RateLimit-Remaining",
                "X-RateLimit-Reset",
            }
            headers = {key: value for key, value in answer.headers.items() if key in kept}
            problem = answer.body if isinstance(answer.body, dict) else {}
            raise ReservationRefusedError(answer.status, problem, headers)
        if answer.status == _UNPROCESSABLE:
            raise ModelUnknownError
        raise UnavailableError("accounting")

    async def report(self, stream_id: str, user_id: str, tokens: int) -> None:
        """Tell how many tokens have come."""
        body = {"sessionId": stream_id, "userId": user_id, "tokensGenerated": tokens}
        await self._reports.request(
            "POST", f"{_STREAMING}/heartbeat", json=body, on_behalf_of=user_id, deadline=2
        )

    async def settle(
        self, stream_id: str, user_id: str, intent: SettlementIntent
    ) -> Settlement | None:
        """Settle by the intent; None if accounting knows no such reservation."""
        body: dict[str, Any] = {
            "sessionId": stream_id,
            "userId": user_id,
            "modelId": intent.model_id,
            "inputTokens": intent.input_tokens,
        }
        if intent.kind is SettlementKind.FINALIZE:
            body |= {"outputTokens": intent.output_tokens, "success": intent.success}
        else:
            body["tokensGenerated"] = intent.output_tokens
            if intent.reason:
                body["reason"] = intent.reason
        answer = await self._post(str(intent.kind), body, user_id, deadline=5)
        if answer.status == _NOT_FOUND:
            return None
        if not answer.ok:
            raise UnavailableError("accounting")
        charged = answer.body.get("actualCredits", answer.body.get("partialCredits"))
        return Settlement(credits=int(charged), status=str(answer.body["status"]))

    async def rates(self) -> Mapping[str, Rate]:
        """The rates in force, by model id."""
        answer = await self._client.request("GET", f"{_PREFIX}/rates", retry=True, deadline=3)
        if not answer.ok:
            raise UnavailableError("accounting")
        return {
            rate["modelId"]: Rate(
                input=Decimal(rate["inputRate"]), output=Decimal(rate["outputRate"])
            )
            for rate in answer.body["rates"]
        }

    async def _post(
        self, what: str, body: Mapping[str, Any], user_id: str, *, deadline: float
    ) -> Answer:
        return await self._client.request(
            "POST",
            f"{_STREAMING}/{what}",
            json=body,
            on_behalf_of=user_id,
            deadline=deadline,
            retry=True,
        )
