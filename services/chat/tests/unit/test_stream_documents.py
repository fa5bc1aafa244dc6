"""What MongoDB is given has each field: one that was forgotten would be lost by a recovery."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from aula_chat.domain.language_models import TokenUsage
from aula_chat.domain.messages import MessageStatus
from aula_chat.domain.streams import (
    Outcome,
    Reservation,
    Settlement,
    SettlementIntent,
    SettlementKind,
)
from aula_chat.storage.stream_documents import (
    from_intent,
    from_outcome,
    from_reservation,
    from_settlement,
)

_USAGE = TokenUsage(input_tokens=1, output_tokens=2)
_OUTCOME = Outcome(status=MessageStatus.COMPLETE, text="Hi", model_id="one", usage=_USAGE)


@pytest.mark.parametrize(
    ("value", "convert"),
    [
        (Reservation(model_ids=("one",), input_tokens=1, max_output_tokens=2), from_reservation),
        (_OUTCOME, from_outcome),
        (Settlement(credits=1, status="completed"), from_settlement),
        (
            SettlementIntent(
                kind=SettlementKind.FINALIZE,
                model_id="one",
                input_tokens=1,
                output_tokens=2,
                success=True,
            ),
            from_intent,
        ),
        (_USAGE, lambda usage: from_outcome(replace(_OUTCOME, usage=usage))["usage"]),
    ],
    ids=lambda one: type(one).__name__,
)
def test_each_field_is_kept(value: Any, convert: Callable[[Any], dict[str, Any]]) -> None:
    assert set(convert(value)) == {one.name for one in fields(value)}
