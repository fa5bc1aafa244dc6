"""The student's and the supervisor's screens beside one another, or lines where no screen is."""

from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import wrap
from typing import Protocol

from rich.columns import Columns
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

LINE = 72


class Screens(Protocol):
    """Shows each piece of text as it arrives."""

    def student(self, piece: str) -> None:
        """What ada sees."""

    def supervisor(self, piece: str) -> None:
        """What sam sees."""


@contextmanager
def screens(console: Console) -> Iterator[Screens]:
    """Side by side on a terminal; lines, each behind its name, elsewhere."""
    if console.is_terminal:
        side_by_side = _SideBySide(width=console.width, height=console.height)
        with Live(console=console, refresh_per_second=20, transient=True) as live:
            side_by_side.live = live
            yield side_by_side
        console.print(side_by_side.whole())
    else:
        student = _Lines("ada (student)", console)
        supervisor = _Lines("sam (supervisor)", console)
        yield _LineScreens(student, supervisor)
        student.finish()
        supervisor.finish()


class _SideBySide:
    def __init__(self, *, width: int, height: int) -> None:
        self.live: Live | None = None
        self._width = max(20, width // 2 - 1)
        self._lines = max(3, height - 4)
        self._student = ""
        self._supervisor = ""

    def student(self, piece: str) -> None:
        self._student += piece
        self._refresh()

    def supervisor(self, piece: str) -> None:
        self._supervisor += piece
        self._refresh()

    def whole(self) -> Columns:
        """Both texts from their beginnings."""
        return self._columns(self._student, self._supervisor)

    def _refresh(self) -> None:
        if self.live is not None:
            self.live.update(self._columns(self._tail(self._student), self._tail(self._supervisor)))

    def _tail(self, text: str) -> str:
        """As much of the end as fits on the screen."""
        inside = self._width - 4
        lines = [line for part in text.split("\n") for line in wrap(part, inside) or [""]]
        return "\n".join(lines[-self._lines :])

    def _columns(self, student: str, supervisor: str) -> Columns:
        panels = [
            Panel(Text(student), title="ada, student", width=self._width, border_style="green"),
            Panel(
                Text(supervisor),
                title="sam, supervisor, watching ada",
                width=self._width,
                border_style="magenta",
            ),
        ]
        return Columns(panels, padding=(0, 0))


class _LineScreens:
    def __init__(self, student: "_Lines", supervisor: "_Lines") -> None:
        self.student = student.add
        self.supervisor = supervisor.add


class _Lines:
    def __init__(self, name: str, console: Console) -> None:
        self._name = name
        self._console = console
        self._rest = ""

    def add(self, piece: str) -> None:
        self._rest += piece
        while (end := self._end_of_line()) is not None:
            self._print(self._rest[:end])
            self._rest = self._rest[end:].lstrip(" ").removeprefix("\n")

    def finish(self) -> None:
        if self._rest:
            self._print(self._rest)

    def _end_of_line(self) -> int | None:
        newline = self._rest.find("\n")
        if 0 <= newline <= LINE:
            return newline
        if len(self._rest) <= LINE:
            return None
        space = self._rest.rfind(" ", 0, LINE)
        return space if space > 0 else LINE

    def _print(self, line: str) -> None:
        self._console.print(f"{self._name:<17}| {line}", markup=False, soft_wrap=True)
