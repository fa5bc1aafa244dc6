"""What auth may ask of a person: everything that is kept, or that nothing is."""

from asyncio import gather
from dataclasses import replace

import pytest
from chat_builders import UNENDING, Caller, Chat, Surroundings, run_chat
from waiting import eventually

from aula_common.security.principal import Role
from aula_devstack.testing.tcp_proxy import TcpProxy, tcp_proxy

GONE = 404


def auth(chat: Chat) -> Caller:
    return chat.service("subjects:read", "subjects:erase", client="auth")


def path_of(user_id: str) -> str:
    return f"/internal/subjects/{user_id}"


def cut_off(proxy: TcpProxy) -> None:
    proxy.refuse()
    proxy.reset()


async def student_with(chat: Chat, *titles: str) -> tuple[Caller, list[str]]:
    student = await chat.student()
    ids = [await student.new_session(title=title) for title in titles]
    for session_id in ids:
        await student.ask(session_id, "[[pace=0 tokens=3]] Why “is” it\nso?")
    return student, ids


@pytest.mark.parametrize(
    ("method", "leave"), [("GET", "subjects:erase"), ("DELETE", "subjects:read")]
)
async def test_nobody_else_may(chat: Chat, method: str, leave: str) -> None:
    student, [session_id] = await student_with(chat, "Mine")
    callers = [
        student,
        chat.person(role=Role.SUPERVISOR),
        chat.person(role=Role.ADMIN),
        chat.service("conversations:read", "observations:write"),
        chat.service(leave, client="auth"),
    ]
    for caller in callers:
        answer = await caller.request(method, path_of(student.id))
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    unsigned = await chat.http.request(method, path_of(student.id))
    assert unsigned.status_code == 401
    for wrong in ("a b", "x" * 65, "%00"):
        assert (await auth(chat).request(method, path_of(wrong))).status_code == 422
    assert len(await student.messages(session_id)) == 2


async def test_everything_is_handed_out_and_nothing_of_others(chat: Chat) -> None:
    (student, ids), _ = await gather(
        student_with(chat, "Rain", 'A "quote", {brackets}'), student_with(chat, "Not theirs")
    )
    empty = await student.new_session(title="Empty")
    answer = await auth(chat).get(path_of(student.id))
    assert answer.headers["content-type"] == "application/json"
    exported = answer.json()
    assert exported["userId"] == student.id
    sessions = {session["sessionId"]: session for session in exported["sessions"]}
    assert set(sessions) == {*ids, empty}
    for session_id in ids:
        shown = (await student.get(f"/api/chat/sessions/{session_id}")).json()
        session = sessions[session_id]
        assert session["messages"] == shown["messages"] != []
        for name in ("title", "modelId", "createdAt", "updatedAt"):
            assert session[name] == shown[name]
        assert session["metadata"]["totalTokensUsed"] > 0
    assert sessions[empty]["messages"] == []


@pytest.mark.parametrize("count", [0, 1, 2])
async def test_the_document_parses_however_many_sessions_there_are(chat: Chat, count: int) -> None:
    student = chat.person()
    ids = {await student.new_session() for _ in range(count)}
    exported = (await auth(chat).get(path_of(student.id))).json()
    assert {session["sessionId"] for session in exported["sessions"]} == ids


async def test_a_person_is_erased_and_stays_so(chat: Chat) -> None:
    (student, ids), (other, [others]) = await gather(
        student_with(chat, "Rain", "Sun"), student_with(chat, "Snow")
    )
    answer = await auth(chat).request("DELETE", path_of(student.id))
    assert answer.status_code == 200, answer.text
    receipt = answer.json()
    assert (receipt["userId"], receipt["status"]) == (student.id, "erased")
    assert receipt["requestedAt"] <= receipt["erasedAt"]
    for session_id in ids:
        for tail in ("", "/messages", "/stream"):
            found = await student.get(f"/api/chat/sessions/{session_id}{tail}")
            assert found.status_code == GONE
    assert (await student.get("/api/chat/sessions")).json()["sessions"] == []
    assert (await auth(chat).get(path_of(student.id))).json()["sessions"] == []

    created = await student.post("/api/chat/sessions", {})
    assert (created.status_code, created.json()["code"]) == (401, "unauthorized")
    assert (await auth(chat).get(path_of(student.id))).json()["sessions"] == []
    again = await auth(chat).request("DELETE", path_of(student.id))
    assert (again.status_code, again.json()) == (200, receipt)
    assert len(await other.messages(others)) == 2
    assert await other.new_session()


async def test_who_was_never_here_is_erased_and_does_not_come(chat: Chat) -> None:
    stranger = chat.person()
    answer = await auth(chat).request("DELETE", path_of(stranger.id))
    assert (answer.status_code, answer.json()["status"]) == (200, "erased")
    assert (await stranger.post("/api/chat/sessions", {})).status_code == 401


async def test_wishes_at_once_are_one(chat: Chat) -> None:
    student, _ = await student_with(chat, "Rain", "Sun", "Snow")
    answers = await gather(*(auth(chat).request("DELETE", path_of(student.id)) for _ in range(4)))
    receipts = [answer.json() for answer in answers]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert receipts == [receipts[0]] * 4


async def test_what_streams_is_stopped_and_settled(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    async with student.asking(session_id, UNENDING) as reading:
        await reading.until_seen("chunk", 3)
        answer = await auth(chat).request("DELETE", path_of(student.id))
        events = await reading.to_end()
    assert (answer.status_code, answer.json()["status"]) == (200, "erased")
    complete = events[-1].json()
    assert (complete["status"], complete["settlement"]) == ("stopped", "settled")
    balance = await chat.credits_of(student.id)
    assert (balance["available"], balance["held"]) == (1000 - complete["credits"], 0)
    assert (await student.get(f"/api/chat/sessions/{session_id}")).status_code == GONE


async def test_without_its_database_nothing_is_promised(around: Surroundings) -> None:
    with tcp_proxy(around.mongo_uri) as proxy:
        uri = f"{proxy.through(around.mongo_uri)}?directConnection=true"
        async with run_chat(replace(around, mongo_uri=uri)) as chat:
            student = chat.person()
            session_id = await student.new_session()
            cut_off(proxy)
            for method in ("GET", "DELETE"):
                answer = await auth(chat).request(method, path_of(student.id), timeout=30)
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
                assert int(answer.headers["Retry-After"]) > 0
            proxy.accept()

            async def is_there() -> bool:
                found = await student.get(f"/api/chat/sessions/{session_id}", timeout=30)
                return found.status_code == 200

            await eventually(is_there)


async def test_without_the_log_it_goes_on_later(around: Surroundings) -> None:
    with tcp_proxy(around.redis_url) as proxy:
        far = replace(around, redis_url=proxy.through(around.redis_url))
        async with run_chat(far) as chat:
            student, [session_id] = await student_with(chat, "Rain")
            cut_off(proxy)
            answer = await auth(chat).request("DELETE", path_of(student.id), timeout=30)
            receipt = answer.json()
            assert (answer.status_code, receipt["status"]) == (202, "erasing")
            assert receipt["erasedAt"] is None
            assert int(answer.headers["Retry-After"]) > 0
            found = await student.get(f"/api/chat/sessions/{session_id}")
            assert found.status_code == GONE
            proxy.accept()

            async def is_erased() -> bool:
                answer = await auth(chat).request("DELETE", path_of(student.id), timeout=30)
                return answer.status_code == 200

            await eventually(is_erased)
