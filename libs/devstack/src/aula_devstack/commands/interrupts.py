"""Ctrl-C, SIGTERM and a closed terminal, as one exception."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequestedError(BaseException):
    """Someone asked the command to end. No Exception: nothing may swallow it."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, the first signal raises StopRequestedError; while that is handled more are ignored.

    Whoever is impatient can still use SIGKILL: the children go with this process.
    """

    def request(_number: int, _frame: FrameType | None) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise StopRequestedError

    before = {number: signal.signal(number, request) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
