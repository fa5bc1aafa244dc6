"""Where a process learns that a stream is no longer its own."""

from enum import StrEnum


class LossPlace(StrEnum):
    """At which of its writes a process found another's fence.

    start: the promise of a stream that it had claimed. renewal: the lease. append: the log.
    end: the end of what it wrote. recovery: the end of what it had taken from a dead process.
    """

    START = "start"
    RENEWAL = "renewal"
    APPEND = "append"
    END = "end"
    RECOVERY = "recovery"
