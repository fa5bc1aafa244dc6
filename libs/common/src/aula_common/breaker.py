"""A circuit breaker: a dependency that keeps failing is left alone for a while."""

from aula_common.clock import Clock
from aula_common.errors import UnavailableError


class CircuitBreaker:
    """Opens after `failures` in a row; after `reset_after` seconds lets one attempt through."""

    def __init__(
        self, *, dependency: str, clock: Clock, failures: int = 5, reset_after: float = 10
    ) -> None:
        self._dependency = dependency
        self._clock = clock
        self._limit = failures
        self._reset_after = reset_after
        self._failures = 0
        self._closed_again_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether an attempt made now would be refused."""
        return self._failures >= self._limit and self._clock.monotonic() < self._closed_again_at

    def check(self) -> None:
        """Raise UnavailableError while the circuit is open.

        The first attempt after the pause passes; until it is answered, or for another pause if
        it never is, others are refused.
        """
        if self.is_open:
            wait = self._closed_again_at - self._clock.monotonic()
            raise UnavailableError(self._dependency, retry_after=max(1, round(wait)))
        if self._failures >= self._limit:
            self._closed_again_at = self._clock.monotonic() + self._reset_after

    def succeeded(self) -> None:
        """The attempt was answered."""
        self._failures = 0

    def failed(self) -> None:
        """The attempt was not answered, or by an error of the dependency's own."""
        self._failures += 1
        if self._failures >= self._limit:
            self._closed_again_at = self._clock.monotonic() + self._reset_after
