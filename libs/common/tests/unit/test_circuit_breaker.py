"""A dependency that keeps failing is left alone, then tried by one."""

import pytest

from aula_common.breaker import CircuitBreaker
from aula_common.errors import UnavailableError
from aula_common.testing import ManualClock


def build() -> tuple[CircuitBreaker, ManualClock]:
    clock = ManualClock()
    return CircuitBreaker(dependency="auth", clock=clock, failures=3, reset_after=10), clock


def test_it_opens_after_so_many_failures_in_a_row_and_says_for_how_long() -> None:
    breaker, clock = build()
    for _ in range(2):
        breaker.failed()
    breaker.check()
    breaker.failed()
    clock.advance(4)
    with pytest.raises(UnavailableError) as caught:
        breaker.check()
    assert caught.value.headers["Retry-After"] == "6"


def test_a_success_between_failures_keeps_it_closed() -> None:
    breaker, _ = build()
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    breaker.check()


def test_after_the_pause_one_may_try_and_its_success_closes_it() -> None:
    breaker, clock = build()
    for _ in range(3):
        breaker.failed()
    clock.advance(10)
    breaker.check()
    with pytest.raises(UnavailableError):
        breaker.check()
    breaker.succeeded()
    breaker.check()
    breaker.check()


def test_the_failure_of_the_one_opens_it_again() -> None:
    breaker, clock = build()
    for _ in range(3):
        breaker.failed()
    clock.advance(10)
    breaker.check()
    breaker.failed()
    clock.advance(9)
    with pytest.raises(UnavailableError):
        breaker.check()


def test_one_who_was_cancelled_while_trying_does_not_keep_it_open_for_ever() -> None:
    breaker, clock = build()
    for _ in range(3):
        breaker.failed()
    clock.advance(10)
    breaker.check()  # and nothing is ever reported
    clock.advance(10)
    breaker.check()
