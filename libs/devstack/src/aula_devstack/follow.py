"""Shows the processes' logs as they grow, each line behind its process' name."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from aula_devstack.servers.process import Process

COLOURS = (
    "cyan",
    "green",
    "yellow",
    "magenta",
    "blue",
    "bright_cyan",
    "bright_green",
    "bright_red",
)
MOST_AT_ONCE = 1 << 20
LEVELS = {"debug": "dim", "warning": "yellow", "error": "red", "critical": "bold red"}
# the log files have all of it: what the prefix says, and what services ask every few seconds
UNTOLD = {"service", "logger"}
POLLS = {"/internal/revocations", "/internal/observations/renew"}


def readable(line: str) -> Text | None:
    """A line for people: an entry in JSON as its time, event and fields, any other as it is.

    None for a poll that was answered as usual.
    """
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if isinstance(entry, dict) and isinstance(entry.get("request"), dict):
        entry = _gateway_access(entry)
    if not isinstance(entry, dict) or "event" not in entry:
        return Text.from_ansi(line)  # its own colours kept, and no markup read into it
    time = str(entry.pop("timestamp", ""))[11:19]
    event, level = str(entry.pop("event")), str(entry.pop("level", "info"))
    if entry.get("route") in POLLS and level == "info":
        return None
    fields = " ".join(f"{key}={entry[key]}" for key in entry if key not in UNTOLD)
    return Text(f"{time} {event} {fields}".strip(), style=LEVELS.get(level, ""))


def _gateway_access(entry: dict[str, Any]) -> dict[str, Any]:
    """Caddy's entry of a request in the shape of the services' own."""
    request = entry["request"]
    return {
        "event": "request",
        "level": entry.get("level", "info"),
        "timestamp": datetime.fromtimestamp(entry.get("ts", 0), UTC).isoformat(),
        "method": request.get("method"),
        "path": request.get("uri"),
        "status": entry.get("status"),
        "milliseconds": round(entry.get("duration", 0) * 1000, 1),
    }


class LogFollower:
    """Prints what the logs gained since the last look."""

    def __init__(self, processes: Iterable[Process], *, console: Console) -> None:
        self._console = console
        self._logs = [
            _Log(process.name, process.log_file, COLOURS[number % len(COLOURS)])
            for number, process in enumerate(processes)
        ]
        self._width = max((len(log.name) for log in self._logs), default=0)

    def skip(self) -> None:
        """Pass over what is there already."""
        for log in self._logs:
            log.read()

    def show(self) -> None:
        """Print the new lines."""
        for log in self._logs:
            for line in log.read():
                shown = readable(line)
                if shown is not None:
                    prefix = Text(f"{log.name:<{self._width}} | ", style=log.colour)
                    self._console.print(prefix + shown, soft_wrap=True)


class _Log:
    def __init__(self, name: str, path: Path, colour: str) -> None:
        self.name = name
        self.colour = colour
        self._path = path
        self._position = 0
        self._rest = b""

    def read(self) -> list[str]:
        """The lines that are complete now."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                new = file.read(MOST_AT_ONCE)
        except FileNotFoundError:
            return []
        self._position += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        return [line.decode(errors="replace").rstrip("\r") for line in lines]
