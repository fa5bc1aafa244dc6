"""Logs are shown line by line, each behind its process' name."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from aula_devstack.follow import LogFollower, readable
from aula_devstack.servers.mongo import Mongo


def _console() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=40, highlight=False), out


def _process(tmp_path: Path, name: str) -> Mongo:
    return Mongo(name=name, port=1, data=tmp_path / name, log_file=tmp_path / f"{name}.log")


def test_each_line_has_its_process_name_and_is_shown_once(tmp_path: Path) -> None:
    console, out = _console()
    chat, auth = _process(tmp_path, "chat-2"), _process(tmp_path, "auth")
    follower = LogFollower([chat, auth], console=console)
    chat.log_file.write_text("one\n")
    auth.log_file.write_text("two\n")
    follower.show()
    follower.show()
    assert out.getvalue() == "chat-2 | one\nauth   | two\n"


def test_a_line_is_shown_when_it_is_complete_and_whole_however_long(tmp_path: Path) -> None:
    console, out = _console()
    chat = _process(tmp_path, "chat")
    follower = LogFollower([chat], console=console)
    with chat.log_file.open("a") as log:
        log.write("x" * 100)
        log.flush()
        follower.show()
        assert out.getvalue() == ""
        log.write(" [bold]end[/bold]\n")
    follower.show()
    assert out.getvalue() == f"chat | {'x' * 100} [bold]end[/bold]\n"


def test_what_was_there_before_can_be_passed_over(tmp_path: Path) -> None:
    console, out = _console()
    chat = _process(tmp_path, "chat")
    chat.log_file.write_text("old\n")
    follower = LogFollower([chat], console=console)
    follower.skip()
    chat.log_file.write_text("old\nnew\n")
    follower.show()
    assert out.getvalue() == "chat | new\n"


def _shown(**entry: object) -> str | None:
    text = readable(json.dumps({"service": "auth", "timestamp": "2026-11-21T10:16:08.5Z", **entry}))
    return text.plain if text is not None else None


def test_an_entry_in_json_is_shown_for_people() -> None:
    assert _shown(status=200, event="request", level="info") == "10:16:08 request status=200"


def test_the_gateway_s_entries_look_like_the_services() -> None:
    entry = {
        "level": "info", "ts": 1795257934.67, "msg": "handled request", "status": 200,
        "duration": 0.0017, "request": {"method": "GET", "uri": "/api/health", "proto": "HTTP/1.1"},
    }  # fmt: skip
    text = readable(json.dumps(entry))
    assert text is not None
    assert text.plain == (
        "10:45:34 request method=GET path=/api/health status=200 milliseconds=1.7"
    )


def test_polls_are_shown_only_when_something_is_wrong() -> None:
    poll = {"event": "request", "route": "/internal/revocations"}
    assert _shown(**poll, level="info") is None
    assert _shown(**poll, level="error") == "10:16:08 request route=/internal/revocations"


@pytest.mark.parametrize("line", ["plain", "[1, 2]", '{"level": "info"}', "{broken", ""])
def test_any_other_line_is_shown_as_it_is(line: str) -> None:
    text = readable(line)
    assert text is not None
    assert text.plain == line
