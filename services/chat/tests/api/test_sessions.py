"""People's sessions."""

from chat_builders import HAIKU, OPUS, SONNET, Chat, Surroundings, text_of
from redis.asyncio import Redis

from aula_common.ids import new_id


async def test_a_session_is_made_read_changed_listed_and_deleted(chat: Chat) -> None:
    student = chat.person()
    session_id = await student.new_session(title="Tides", projectId="prj_1", source="web")
    path = f"/api/chat/sessions/{session_id}"
    shown = (await student.get(path)).json()
    assert (shown["title"], shown["modelId"], shown["messages"]) == ("Tides", SONNET, [])
    assert shown["metadata"]["projectId"] == "prj_1"
    assert shown["metadata"]["activeStreamingSession"] is False
    changed = await student.request("PATCH", path, json={"title": "Moon", "modelId": HAIKU})
    assert (changed.json()["title"], changed.json()["modelId"]) == ("Moon", HAIKU)
    listed = (await student.get("/api/chat/sessions")).json()
    assert [item["sessionId"] for item in listed["sessions"]] == [session_id]
    assert listed["pagination"] == {"total": 1, "page": 1, "limit": 20, "pages": 1}
    deleted = await student.request("DELETE", path)
    assert (deleted.status_code, deleted.json()["sessionId"]) == (200, session_id)
    assert (await student.get(path)).status_code == 404


async def test_a_deleted_session_takes_its_messages_along(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    await student.ask(session_id, "[[pace=0 tokens=3]] Hi")
    assert (await student.request("DELETE", f"/api/chat/sessions/{session_id}")).status_code == 200
    assert await chat.process.messages.newest(session_id, 10) == []
    answer = await student.post(f"/api/chat/sessions/{session_id}/stream", {"message": "Hi"})
    assert answer.status_code == 404


async def test_a_deleted_session_takes_the_logs_of_its_answers_along(
    chat: Chat, around: Surroundings
) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    answers = [await student.ask(session_id, "[[pace=0 tokens=3]] Hi") for _ in range(2)]
    stream_ids = [events[0].json()["streamingSessionId"] for events in answers]
    async with Redis.from_url(around.redis_url) as redis:

        async def logs() -> int:
            return int(await redis.exists(*(f"aula:stream:{{{one}}}:log" for one in stream_ids)))

        assert await logs() == 2
        deleted = await student.request("DELETE", f"/api/chat/sessions/{session_id}")
        assert (deleted.status_code, await logs()) == (200, 0)


async def test_an_untitled_session_is_named_after_its_first_question(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    await student.ask(session_id, "What is rain? [[pace=0 tokens=3]]")
    shown = (await student.get(f"/api/chat/sessions/{session_id}")).json()
    assert shown["title"].startswith("What is rain?")
    assert shown["metadata"]["lastTokensUsed"] == 3
    assert [message["role"] for message in shown["messages"]] == ["user", "assistant"]


async def test_pages_past_the_end_are_empty(chat: Chat) -> None:
    student = chat.person()
    made = [await student.new_session(title=str(number)) for number in range(3)]
    first = (await student.get("/api/chat/sessions?limit=2")).json()
    assert [item["sessionId"] for item in first["sessions"]] == made[:0:-1]
    assert first["pagination"]["pages"] == 2
    assert (await student.get("/api/chat/sessions?page=9")).json()["sessions"] == []
    assert (await student.get("/api/chat/sessions?limit=101")).status_code == 422


async def test_sessions_are_found_by_title_project_and_task(chat: Chat) -> None:
    student = chat.person()
    await student.new_session(title="Rain (a.*)", projectId="prj_1", taskId="tsk_1")
    await student.new_session(title="Sun", projectId="prj_1")
    await student.new_session(title="Snow")

    async def titles(query: str) -> list[str]:
        found = (await student.get(f"/api/chat/sessions?{query}")).json()["sessions"]
        return sorted(item["title"] for item in found)

    assert await titles("projectId=prj_1") == ["Rain (a.*)", "Sun"]
    assert await titles("projectId=prj_1&taskId=tsk_1") == ["Rain (a.*)"]
    assert await titles("q=sUN") == ["Sun"]
    assert await titles("q=.*") == ["Rain (a.*)"]


async def test_a_message_is_deleted_and_only_once(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    await student.ask(session_id, "[[pace=0 tokens=3]] Hi")
    question, answer = await student.messages(session_id)
    path = f"/api/chat/sessions/{session_id}/messages/{answer['id']}"
    assert (await student.request("DELETE", path)).status_code == 204
    assert (await student.request("DELETE", path)).status_code == 404
    assert [message["id"] for message in await student.messages(session_id)] == [question["id"]]


async def test_the_conversation_goes_on_from_what_was_said(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    await student.ask(session_id, "Hello, my name is Ada Lovelace. [[pace=0]]")
    events = await student.ask(session_id, "What is my name? [[pace=0]]")
    assert "Ada Lovelace" in text_of(events)


async def test_models_are_those_of_the_tier_with_their_prices(chat: Chat) -> None:
    basic = (await chat.person().get("/api/models")).json()
    assert [model["id"] for model in basic["models"]] == [SONNET, HAIKU]
    assert basic["default"] == SONNET
    assert float(basic["models"][1]["creditCost"]["input"]) == 0.25
    everyone = (await chat.person(tier="enterprise").get("/api/models")).json()
    assert all(model["available"] for model in everyone["models"])


async def test_a_model_of_another_tier_is_refused_like_an_unknown_one(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    path = f"/api/chat/sessions/{session_id}"
    headers = {"X-Request-Id": "same"}
    bodies = set()
    for model_id in (OPUS, "no-such-model"):
        answers = [
            await student.post("/api/chat/sessions", {"modelId": model_id}, headers=headers),
            await student.request("PATCH", path, json={"modelId": model_id}, headers=headers),
            await student.post(
                f"{path}/stream", {"message": "x", "modelId": model_id}, headers=headers
            ),
        ]
        assert [answer.status_code for answer in answers] == [422] * 3
        bodies |= {answer.content for answer in answers}
    assert len(bodies) == 1
    assert await student.messages(session_id) == []


async def test_another_persons_session_is_as_absent_in_every_byte(chat: Chat) -> None:
    owner, stranger = await chat.student(), await chat.student()
    theirs = await owner.new_session()
    await owner.ask(theirs, "[[pace=0 tokens=3]] Hi")
    message_id = (await owner.messages(theirs))[0]["id"]
    absent = new_id("ses")
    routes = [
        ("GET", "", None), ("PATCH", "", {"title": "mine"}), ("DELETE", "", None),
        ("GET", "/messages", None), ("POST", "/messages", {"message": "x"}),
        ("DELETE", f"/messages/{message_id}", None), ("GET", "/stream", None),
        ("POST", "/stream", {"message": "x"}), ("POST", "/stop", None),
    ]  # fmt: skip
    for method, tail, body in routes:
        answers = [
            await stranger.request(
                method, f"/api/chat/sessions/{session_id}{tail}", json=body,
                headers={"X-Request-Id": "same"},
            )
            for session_id in (theirs, absent)
        ]  # fmt: skip
        assert [answer.status_code for answer in answers] == [404, 404], (method, tail)
        assert answers[0].content == answers[1].content
        kept = [
            {key: value for key, value in answer.headers.items() if key != "date"}
            for answer in answers
        ]
        assert kept[0] == kept[1]
    assert len(await owner.messages(theirs)) == 2
