"""The rules that come from the environment."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from aula_accounting.settings import CreditSettings


def test_the_lease_is_the_longest_stream_and_three_minutes() -> None:
    assert CreditSettings().lease == timedelta(seconds=300)


def test_the_longest_stream_moves_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_STREAMING_DURATION", "600")
    assert CreditSettings().lease == timedelta(seconds=780)


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_limit_without_room_for_one_stream_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("MAX_RUNNING_STREAMS", value)
    with pytest.raises(ValidationError):
        CreditSettings()
