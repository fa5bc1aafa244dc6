"""No content can break a server-sent event."""

import json
import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from aula_common.sse import sse_frame

ANY_TEXT = st.text(st.characters())  # surrogates too
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=20,
)
# wherever some reader in use ends a line: the standard's CR, LF, CRLF; Python's and JavaScript's
EVERY_LINE_END = re.compile("\r\n|[\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")


def parse(raw: bytes, line_end: re.Pattern[str]) -> list[dict[str, str]]:
    """Events as by the HTML standard, section 9.2.6, with the line ends given."""
    events: list[dict[str, str]] = []
    event: dict[str, str] = {}
    for line in line_end.split(raw.decode("utf-8")):
        if not line:
            if event:
                events.append(event)
            event = {}
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        event[name] = f"{event[name]}\n{value}" if name in event else value
    return events


@given(data=VALUES)
@example(data={"text": "\r\n\ndata: forged\n\n"})
@example(data="a\rb\u2028c\u2029d\x85e\x0bf")
@example(data={"text": "half of a pair \ud800"})
def test_any_content_comes_back_as_one_event(data: Any) -> None:
    frame = sse_frame(data, event="chunk", event_id="str_1.7")
    for line_end in (re.compile("\r\n|\n|\r"), EVERY_LINE_END):
        events = parse(frame, line_end)
        assert len(events) == 1
        assert events[0].keys() == {"id", "event", "data"}
        assert (events[0]["id"], events[0]["event"]) == ("str_1.7", "chunk")
        assert json.loads(events[0]["data"]) == data


def test_an_event_without_name_and_id_has_data_only() -> None:
    assert sse_frame({"a": 1}) == b'data: {"a":1}\n\n'
