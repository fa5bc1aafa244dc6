"""Planted secrets never show in a log line."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from pydantic import SecretStr

from aula_common import traces
from aula_common.logging import configure_logging, get_logger, redact
from aula_common.testing import TokenMint

SECRET = "planted-7f3a9c"
CARRIERS = st.sampled_from(
    [
        TokenMint().user("usr_1"),
        f"Authorization: Bearer {SECRET}",
        f"Basic {SECRET}",
        f"postgresql+asyncpg://aula:{SECRET}@db:5432/aula",
        f"mongodb://aula:{SECRET}@extra@db/aula",
        f"redis://:{SECRET}@cache:6379/0",
        f"grant_type=client_credentials&client_secret={SECRET}&audience=chat",
        f'{{"password": "{SECRET}", "username": "ada"}}',
        f"refreshToken={SECRET}",
        f"api_key: {SECRET}",
        f"Bearer {SECRET}".encode(),
    ]
)
SECRET_KEYS = st.sampled_from(
    [
        *("password", "clientSecret", "Authorization", "set-cookie", "x-api-key", "accessToken"),
        *("token", "text", "content", "prompt", "body", "privateKey", "passphrase"),
    ]
)
PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=10)
LEAVES = PLAIN | CARRIERS | st.dictionaries(SECRET_KEYS, st.just(SECRET), min_size=1, max_size=2)
EVENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=15,
)


@given(event=EVENTS)
def test_no_secret_is_left_at_any_depth_and_the_rest_is_json(event: Any) -> None:
    text = json.dumps(redact(event))
    assert SECRET not in text
    assert "eyJ" not in text


@given(text=st.text("abcdxyz ÄÖ\n\0\u2028.,;@:=/0123456789", max_size=50))
def test_text_without_a_secret_is_left_as_it_is(text: str) -> None:
    assert redact(text.replace("://", "")) == text.replace("://", "")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a configured process writes to stdout; the logging of the test run is put back."""
    root = logging.getLogger()
    before, level, stdout = root.handlers[:], root.level, sys.stdout
    sys.stdout = io.StringIO()
    configure_logging("common", "INFO")
    yield sys.stdout
    sys.stdout = stdout
    root.handlers = before
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_one_json_object_with_the_service_and_the_level(lines: io.StringIO) -> None:
    get_logger("a").info("two\nlines", password=SECRET, at=SecretStr(SECRET), user_id="usr_1")
    logging.getLogger("a.library").warning("to %s", f"redis://:{SECRET}@cache")
    first, second = (json.loads(line) for line in lines.getvalue().splitlines())
    assert first["event"] == "two\nlines"
    assert (first["service"], first["level"], first["user_id"]) == ("common", "info", "usr_1")
    assert second["event"] == "to redis://[redacted]@cache"
    assert SECRET not in lines.getvalue()


def test_a_line_names_the_span_in_which_it_was_written(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    with traces.spanned("not traced", {}):
        get_logger("a").info("off")
    monkeypatch.setattr(traces._Process, "tracer", TracerProvider().get_tracer("a"))
    get_logger("a").info("outside")
    with traces.spanned("work", {}) as span:
        get_logger("a").info("inside")
        logging.getLogger("a.library").warning("inside too")
    context = span.get_span_context()
    ids = [
        (line.get("trace_id"), line.get("span_id"))
        for line in map(json.loads, lines.getvalue().splitlines())
    ]
    inside = (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert ids == [(None, None), (None, None), inside, inside]


def test_a_traceback_is_kept_without_its_secrets(lines: io.StringIO) -> None:
    try:
        raise ValueError(f"postgresql://aula:{SECRET}@db")
    except ValueError:
        get_logger("a").exception("unexpected error")
    line = json.loads(lines.getvalue())
    assert "ValueError: postgresql://[redacted]@db" in line["exception"]


def test_a_line_that_cannot_be_made_fails_nobody(lines: io.StringIO) -> None:
    class Wordless:
        def __str__(self) -> str:
            raise RuntimeError

    get_logger("a").info("lost", value=Wordless())
    get_logger("a").info("kept", level="debug", service=SECRET)
    [line] = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert (line["event"], line["level"], line["service"]) == ("kept", "info", "common")
    assert SECRET not in lines.getvalue()
