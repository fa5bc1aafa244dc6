"""Streams as MongoDB keeps them.

Field by field: `dataclasses.asdict` copies in depth, which cost a stream 3 % of its calls.
"""

from typing import Any

from aula_chat.domain.language_models import TokenUsage
from aula_chat.domain.messages import MessageStatus
from aula_chat.domain.streams import (
    Checkpoint,
    Outcome,
    Phase,
    Reservation,
    Settlement,
    SettlementIntent,
    SettlementKind,
    Stream,
    StreamCode,
)

Document = dict[str, Any]


def from_reservation(reservation: Reservation) -> Document:
    """The document of a reservation."""
    return {
        "model_ids": list(reservation.model_ids),
        "input_tokens": reservation.input_tokens,
        "max_output_tokens": reservation.max_output_tokens,
        "tier": reservation.tier,
    }


def from_outcome(outcome: Outcome) -> Document:
    """The document of an outcome; enumerations by value."""
    usage = outcome.usage
    return {
        "status": str(outcome.status),
        "text": outcome.text,
        "model_id": outcome.model_id,
        "usage": {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        if usage
        else None,
        "finish_reason": outcome.finish_reason,
        "code": str(outcome.code) if outcome.code else None,
    }


def from_intent(intent: SettlementIntent) -> Document:
    """The document of a settlement intent."""
    return {
        "kind": str(intent.kind),
        "model_id": intent.model_id,
        "input_tokens": intent.input_tokens,
        "output_tokens": intent.output_tokens,
        "success": intent.success,
        "reason": intent.reason,
    }


def from_settlement(settlement: Settlement) -> Document:
    """The document of a settlement."""
    return {"credits": settlement.credits, "status": settlement.status}


def to_stream(document: Document) -> Stream:
    """The stream of a document."""
    reservation = document["reservation"]
    checkpoint, outcome = document.get("checkpoint"), document.get("outcome")
    intent, settlement = document.get("intent"), document.get("settlement")
    return Stream(
        id=document["_id"],
        session_id=document["sessionId"],
        user_id=document["userId"],
        owner=document["owner"],
        fence=document["fence"],
        phase=Phase(document["phase"]),
        live=document.get("live", False),
        stop_asked=document.get("stopAsked", False),
        question=document["question"],
        question_id=document["questionId"],
        answer_id=document["answerId"],
        position=document["position"],
        reservation=Reservation(
            model_ids=tuple(reservation["model_ids"]),
            input_tokens=reservation["input_tokens"],
            max_output_tokens=reservation["max_output_tokens"],
            tier=reservation.get("tier"),
        ),
        started_at=document["startedAt"],
        ended_at=document.get("endedAt"),
        released_at=document.get("releasedAt"),
        dropped_messages=document.get("droppedMessages", 0),
        last_number=document.get("lastNumber"),
        checkpoint=Checkpoint(**checkpoint) if checkpoint else Checkpoint(),
        outcome=_to_outcome(outcome) if outcome else None,
        intent=SettlementIntent(**{**intent, "kind": SettlementKind(intent["kind"])})
        if intent
        else None,
        settlement=Settlement(**settlement) if settlement else None,
        idempotency_key=document.get("idempotencyKey"),
        body_digest=document.get("bodyDigest"),
        traceparent=document.get("traceparent"),
    )


def _to_outcome(document: Document) -> Outcome:
    usage, code = document["usage"], document["code"]
    return Outcome(
        status=MessageStatus(document["status"]),
        text=document["text"],
        model_id=document["model_id"],
        usage=TokenUsage(**usage) if usage else None,
        finish_reason=document["finish_reason"],
        code=StreamCode(code) if code else None,
    )
