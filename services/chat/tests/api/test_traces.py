"""The spans of streams, as a collector receives them; and nothing of them while traces are off."""

import re
import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest
from chat_builders import SONNET, UNENDING, Chat, Surroundings, run_chat
from pymongo import AsyncMongoClient
from waiting import eventually

from aula_common import traces
from aula_devstack.testing.trace_collector import CollectedSpan, TraceCollector

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
TRACING = re.compile(r"/aula_\w+/(\w+/)?\w*(traces|traced|spans)\w*\.py$")
ASKED = "POST /api/chat/sessions/{session_id}/stream"
SHORT = "[[pace=0 tokens=5]] planted-question"


async def stream_documents(around: Surroundings) -> list[dict[str, Any]]:
    async with AsyncMongoClient[dict[str, Any]](around.mongo_uri) as client:
        return await client.get_default_database()["streams"].find().to_list()


async def stream_span(collector: TraceCollector) -> CollectedSpan:
    return await collector.wait_for(lambda span: span.name == "stream")


async def test_a_stream_s_span_tells_how_it_ended_and_holds_what_it_did(
    collector: TraceCollector, around: Surroundings
) -> None:
    async with run_chat(around) as chat:
        student = await chat.student()
        session_id = await student.new_session()
        events = await student.ask(session_id, SHORT, headers=CALLER)
        span = await stream_span(collector)
        [document] = await stream_documents(around)
    end = events[-1].json()
    request, asked = (
        await collector.wait_for(lambda other: other.span_id == span.parent_id),
        await collector.wait_for(lambda other: other.name.startswith("chat ")),
    )
    assert (request.name, request.parent_id) == (ASKED, SPAN)
    assert {one.trace_id for one in (span, request, asked)} == {TRACE}
    assert span.attributes == {
        "aula.stream_id": end["streamingSessionId"],
        "aula.session_id": session_id,
        "aula.fence": 1,
        "aula.outcome": "complete",
        "aula.settlement": "settled",
        "aula.credits": end["credits"],
        "gen_ai.request.model": SONNET,
        "gen_ai.response.model": SONNET,
        "gen_ai.usage.input_tokens": end["usage"]["inputTokens"],
        "gen_ai.usage.output_tokens": end["usage"]["outputTokens"],
    }
    assert document["traceparent"] == f"00-{TRACE}-{span.span_id}-01"
    assert (asked.name, asked.kind, asked.parent_id) == (f"chat {SONNET}", "client", span.span_id)
    assert asked.events == ("first text",)
    assert asked.attributes["gen_ai.provider.name"] == "aws.bedrock"
    assert asked.attributes["gen_ai.operation.name"] == "chat"
    assert asked.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    for key in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"):
        assert asked.attributes[key] == span.attributes[key]
    calls = [one for one in collector.trace(TRACE) if "url.full" in one.attributes]
    paths = [one.attributes["url.full"].rpartition("/")[2] for one in calls]
    assert sorted(path for path in paths if path != "token") == ["finalize", "initialize"]
    assert {one.parent_id for one in calls} == {span.span_id}
    assert span.start < asked.start < asked.end < span.end


async def test_no_text_and_no_token_is_in_any_span(
    collector: TraceCollector, around: Surroundings
) -> None:
    async with run_chat(around) as chat:
        student = await chat.student()
        session_id = await student.new_session()
        events = await student.ask(session_id, SHORT, headers=CALLER)
        await stream_span(collector)
    texts = [event.json()["text"].strip() for event in events if event.event == "chunk"]
    # short words may be part of a name; the answer's longest piece is not
    planted = ["planted-question", student.token, max(texts, key=len), "eyJ", student.id]
    for text in planted:
        assert text.encode() not in collector.bytes_received, text


async def test_a_stream_outlives_the_request_of_a_client_that_left(
    collector: TraceCollector, around: Surroundings
) -> None:
    async with run_chat(around) as chat:
        student = await chat.student()
        session_id = await student.new_session()
        async with student.asking(session_id, UNENDING) as reading:
            await reading.until_seen("chunk")
        request = await collector.wait_for(lambda other: other.name == ASKED)
        await student.stop(session_id)
        span = await stream_span(collector)
    assert span.parent_id == request.span_id
    assert request.end < span.end
    assert (span.attributes["aula.outcome"], span.failed) == ("stopped", False)


async def test_a_refused_start_is_a_failed_span_and_its_key_s_replay_no_second_stream(
    collector: TraceCollector, around: Surroundings
) -> None:
    async with run_chat(around) as chat:
        poor, student = await chat.student(credits=1), await chat.student()
        path = f"/api/chat/sessions/{await poor.new_session()}/stream"
        assert (await poor.post(path, {"message": "Hi"})).status_code == 402
        refused = await stream_span(collector)
        session_id = await student.new_session()
        key = {"Idempotency-Key": "key-1"}
        first = await student.ask(session_id, SHORT, headers=key)
        again = await student.ask(session_id, SHORT, headers=key)

        async def three() -> bool:
            return sum(span.name == "stream" for span in collector.spans) == 3

        await eventually(three)
    assert refused.attributes["error.type"] == "insufficient_credits"
    assert refused.failed
    assert [event.id for event in again] == [event.id for event in first]
    spans = [span for span in collector.spans if span.name == "stream" and not span.failed]
    outcomes = Counter(span.attributes.get("aula.outcome") for span in spans)
    assert outcomes == {"complete": 1, None: 1}
    assert len([span for span in collector.spans if span.name.startswith("chat ")]) == 1


async def test_a_stopped_stream_is_no_failure(
    collector: TraceCollector, around: Surroundings
) -> None:
    async with run_chat(around) as chat:
        student = await chat.student()
        session_id = await student.new_session()
        async with student.asking(session_id, UNENDING) as reading:
            await reading.until_seen("chunk")
            await student.stop(session_id)
            await reading.to_end()
        span = await stream_span(collector)
        asked = await collector.wait_for(lambda other: other.name.startswith("chat "))
    assert (span.attributes["aula.outcome"], span.failed) == ("stopped", False)
    assert (asked.parent_id, asked.failed) == (span.span_id, False)


async def test_a_provider_s_failure_is_told_by_its_reason(
    collector: TraceCollector, around: Surroundings
) -> None:
    async with run_chat(around) as chat:
        student = await chat.student()
        session_id = await student.new_session()
        await student.ask(session_id, "[[tokens=9 pace=0 cut@3]] Hi")
        span = await stream_span(collector)
        asked = await collector.wait_for(lambda other: other.name.startswith("chat "))
    assert (asked.attributes["error.type"], asked.failed) == ("cut", True)
    assert (span.attributes["error.type"], span.failed) == ("STREAM_ERROR", True)
    assert span.attributes["aula.outcome"] == "interrupted"


async def test_off_a_stream_runs_nothing_of_opentelemetry_and_keeps_nothing(
    chat: Chat, around: Surroundings
) -> None:
    assert not traces.tracing()
    student = await chat.student()
    session_id = await student.new_session()
    ran: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        name, caller = frame.f_code.co_filename, frame.f_back
        ours = caller is not None and "/aula_" in caller.f_code.co_filename
        if event == "call" and (("opentelemetry" in name and ours) or TRACING.search(name)):
            ran[frame.f_code.co_qualname] += 1

    sys.setprofile(count)
    try:
        events = await student.ask(session_id, "[[pace=20 tokens=50]] Hi")
    finally:
        sys.setprofile(None)
    assert [event.event for event in events].count("chunk") > 10
    assert ran == {"traceparent": 1}  # which finds that it is off (so does each line of the log)
    [document] = await stream_documents(around)
    assert "traceparent" not in document


@pytest.mark.parametrize("flag", ["01", "00"])
async def test_a_trace_that_is_not_sampled_leaves_no_span(
    collector: TraceCollector, around: Surroundings, flag: str
) -> None:
    async with run_chat(around) as chat:
        student = await chat.student()
        session_id = await student.new_session()
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-{flag}"}
        events = await student.ask(session_id, SHORT, headers=headers)
        await student.ask(session_id, SHORT)
        await collector.wait_for(lambda span: span.name == "stream" and span.trace_id != TRACE)
    assert events[-1].event == "complete"
    assert bool(collector.trace(TRACE)) is (flag == "01")
