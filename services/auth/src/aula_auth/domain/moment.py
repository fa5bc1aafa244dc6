"""Moments as they are stored."""

from datetime import datetime, timedelta

from aula_common.clock import Clock

TICK = timedelta(milliseconds=1)


def moment(clock: Clock) -> datetime:
    """Now, to the millisecond, as the database keeps it."""
    now = clock.now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
