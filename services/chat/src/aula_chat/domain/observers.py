"""Those who observe a session, as far as one process knows."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Watching:
    """The observations of a session that go on at this process, and those that have ended here."""

    present: Sequence[str] = ()
    gone: Sequence[str] = ()
