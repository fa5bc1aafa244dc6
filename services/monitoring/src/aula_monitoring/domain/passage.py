"""What an observer has been given, so that after a loss nothing is repeated and nothing lost."""

from collections import deque
from dataclasses import dataclass

from aula_monitoring.domain.frames import Frame

_TERMINAL = frozenset({"complete", "error"})
_PAST_STREAMS = 64


@dataclass(frozen=True, slots=True)
class Position:
    """An event's place: the `number`-th of the stream."""

    stream: str
    number: int

    @classmethod
    def parse(cls, event_id: str) -> "Position | None":
        """The place that an id `<stream>.<n>` names; None if it is none of ours."""
        stream, _, number = event_id.rpartition(".")
        return cls(stream, int(number)) if stream and number.isdecimal() else None


class Passage:
    """Decides which of chat's events go on to the observer, over any number of connections."""

    def __init__(self, *, last_event_id: str | None, follow: bool) -> None:
        self._follow = follow
        self._last = Position.parse(last_event_id) if last_event_id else None
        self._opened = False
        self._history_started = False
        self._history_ended = False
        self._history_given = 0
        self._history_here = 0
        self._terminal = False
        self._past: deque[str] = deque(maxlen=_PAST_STREAMS)
        self.is_over = False
        self.must_move = False

    @property
    def last_event_id(self) -> str | None:
        """Where to resume; None as long as no numbered event went by."""
        return f"{self._last.stream}.{self._last.number}" if self._last else None

    @property
    def may_end(self) -> bool:
        """Whether nothing is missing, should chat's connection break here."""
        return self.is_over or (self._terminal and not self._follow)

    def reconnected(self) -> None:
        """A new connection begins; what comes may repeat what went before."""
        self._history_here = 0
        self.must_move = False

    def admits(self, frame: Frame) -> bool:
        """Whether the frame goes on; call it for each frame, in order, once."""
        if frame.event_id is not None:
            position = Position.parse(frame.event_id)
            return position is None or self._admits_numbered(frame, position)
        match frame.event:
            case "observer":
                fresh, self._opened = not self._opened, True
            case "history-start":
                fresh, self._history_started = not self._history_started, True
            case "history-end":
                fresh, self._history_ended = not self._history_ended, True
            case "history":
                self._history_here += 1
                fresh = self._history_here > self._history_given
                self._history_given = max(self._history_given, self._history_here)
            case "complete" | "error":
                fresh, self._terminal = not self._terminal, True
            case "reconnect" | "ended":
                self.must_move = _is_chat_s_own_trouble(frame)
                fresh = self.is_over = not self.must_move
            case _:
                fresh = True
        return fresh

    def _admits_numbered(self, frame: Frame, position: Position) -> bool:
        if self._last is None or position.stream != self._last.stream:
            if position.stream in self._past:
                return False
            if self._last is not None:
                self._past.append(self._last.stream)
            self._terminal = False
        elif position.number <= self._last.number:
            return False
        self._last = position
        self._terminal = frame.event in _TERMINAL
        return True


def _is_chat_s_own_trouble(frame: Frame) -> bool:
    """Whether asking chat again helps, so that the observer need not notice.

    It drains, or has lost sight of the stream, or has not heard our renewals; a reader that is
    too slow, and everything that concerns the conversation itself, is the observer's to know.
    """
    reason = frame.data().get("reason")
    return reason == "not_renewed" if frame.event == "ended" else reason != "slow"
