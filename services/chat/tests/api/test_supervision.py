"""What monitoring is shown for supervisors, and nobody else."""

from chat_builders import (
    NUMBERED,
    OBSERVE,
    UNENDING,
    Chat,
    Reading,
    Surroundings,
    numbers_of,
    run_chat,
    text_of,
)

from aula_common.ids import new_id
from aula_common.security.principal import Role
from aula_devstack.sse_client import SseEvent


def watch(session_id: str, **more: str) -> str:
    query = "&".join(f"{key}={value}" for key, value in more.items())
    return f"/api/chat/sessions/{session_id}/observe?observationId={new_id('obs')}&{query}"


def numbered(events: list[SseEvent]) -> list[SseEvent]:
    return [event for event in events if event.event in NUMBERED]


def ids(events: list[SseEvent]) -> list[str]:
    return [event.id for event in numbered(events)]


def after_history(reading: Reading) -> list[str]:
    names = reading.names
    return names[names.index("history-end") + 1 :]


async def test_supervision_is_refused_to_people_of_every_role_and_to_services_without_leave(
    chat: Chat,
) -> None:
    owner = await chat.student()
    session_id = await owner.new_session(title="Private matter")
    await owner.ask(session_id, "[[pace=0 tokens=3]] Hi")
    callers = [
        owner,
        *(chat.person(role=role) for role in (Role.ENDUSER, Role.SUPERVISOR, Role.ADMIN)),
        chat.service(),
        chat.service("streaming:write", "users:read"),
    ]
    requests = [
        ("GET", watch(session_id), None),
        ("GET", watch(session_id).replace("/observe", "/stream/observe"), None),
        ("GET", f"/api/chat/users/{owner.id}/sessions", None),
        ("GET", f"/api/chat/users/{owner.id}/sessions/{session_id}", None),
        ("GET", f"/internal/sessions/{session_id}/owner", None),
        ("POST", "/internal/observations/renew", {"observationIds": ["obs_a"]}),
    ]
    for caller in callers:
        for method, path, body in requests:
            answer = await caller.request(
                method, path, json=body, headers={"X-On-Behalf-Of": owner.id}
            )
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
            assert "Private" not in answer.text


async def test_a_persons_sessions_are_shown_to_monitoring(chat: Chat) -> None:
    owner = await chat.student()
    session_id = await owner.new_session(title="Tides")
    await owner.ask(session_id, "[[pace=0 tokens=3]] Hi")
    monitoring = chat.service(*OBSERVE)
    listed = (await monitoring.get(f"/api/chat/users/{owner.id}/sessions")).json()["sessions"]
    assert [(item["title"], item["messageCount"]) for item in listed] == [("Tides", 2)]
    path = f"/api/chat/users/{owner.id}/sessions/{session_id}"
    assert len((await monitoring.get(path)).json()["messages"]) == 2
    shown = (await monitoring.get(f"/internal/sessions/{session_id}/owner")).json()
    assert shown == {"userId": owner.id}
    for absent in (
        f"/api/chat/users/{new_id('usr')}/sessions/{session_id}",
        f"/internal/sessions/{new_id('ses')}/owner",
        watch(new_id("ses"), follow="true"),
        watch(session_id),  # nothing runs
    ):
        assert (await monitoring.get(absent)).status_code == 404


async def test_an_observer_sees_the_history_and_the_same_events_as_the_student(
    chat: Chat, around: Surroundings
) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    await student.ask(session_id, "[[pace=0 tokens=3]] First question")
    async with run_chat(around) as second, student.asking(session_id, UNENDING) as reading:
        await reading.until_seen("chunk", 3)
        for process in (chat, second):
            monitoring = process.service(*OBSERVE)
            async with monitoring.reading("GET", watch(session_id)) as observed:
                await observed.until_seen("history-end")
                history = [e.json() for e in observed.events if e.event == "history"]
                assert [(said["role"], said["content"][-14:]) for said in history][::2] == [
                    ("user", "First question"), ("user", UNENDING[-14:]),
                ]  # fmt: skip
                assert observed.events[0].json()["streamActive"] is True
        async with (
            chat.service(*OBSERVE).reading("GET", watch(session_id)) as observed,
            second.service(*OBSERVE).reading("GET", watch(session_id)) as elsewhere,
        ):
            for other in (observed, elsewhere):
                await other.until_seen("chunk")
            await student.stop(session_id)
            whole = await reading.to_end()
            for other in (observed, elsewhere):
                mirrored = [(e.id, e.data) for e in numbered(await other.to_end())]
                assert mirrored == [(e.id, e.data) for e in numbered(whole)]


async def test_an_observer_who_may_not_read_sees_no_text(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session(title="Zebra")
    await student.ask(session_id, "[[echo pace=0]] Zebra one")
    async with student.asking(session_id, f"[[echo pace=20]] {'Zebra two ' * 400}") as own:
        await own.until_seen("start")
        monitoring = chat.service(*OBSERVE)
        async with monitoring.reading("GET", watch(session_id, view="summary")) as observed:
            await observed.until_seen("chunk", 5)
            await student.stop(session_id)
            events = await observed.to_end()
        whole = await own.to_end()
    assert b"Zebra" not in observed.raw
    assert numbers_of([event for event in events if event.event == "chunk"]) == numbers_of(
        [event for event in whole if event.event == "chunk"]
    )
    assert all("content" not in e.json() for e in events if e.event == "history")


async def test_an_observer_who_stays_sees_every_next_answer_once(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    monitoring = chat.service(*OBSERVE)
    async with monitoring.reading("GET", watch(session_id, follow="true")) as observed:
        await observed.until_seen("observer")
        whole = []
        for _ in range(3):  # shorter than any look for the next one
            whole += numbered(await student.ask(session_id, "[[pace=0 tokens=3]] Quick"))
        await observed.until_seen("complete", 3)
        assert ids(observed.events) == ids(whole)
        last = whole[-1].id
    more = await student.ask(session_id, "[[pace=0 tokens=3]] Missed")
    path = watch(session_id, follow="true")
    async with monitoring.reading("GET", path, headers={"Last-Event-ID": last}) as observed:
        await observed.until_seen("complete")
        assert ids(observed.events) == ids(more)
        assert "history" not in observed.names
    async with monitoring.reading("GET", path, headers={"Last-Event-ID": whole[2].id}) as observed:
        await observed.until_seen("complete", 4)
        assert ids(observed.events) == ids([*whole[3:], *more])


async def test_an_observer_who_stays_is_told_when_the_session_is_deleted(
    chat: Chat, around: Surroundings
) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    await student.ask(session_id, "[[pace=0 tokens=3]] Hi")
    path = watch(session_id, follow="true")
    async with (
        run_chat(around) as second,
        chat.service(*OBSERVE).reading("GET", path) as observed,
        second.service(*OBSERVE).reading("GET", path) as elsewhere,
    ):
        await observed.until_seen("history-end")
        await elsewhere.until_seen("history-end")
        deleted = await student.request("DELETE", f"/api/chat/sessions/{session_id}")
        assert deleted.status_code == 200
        for reading in (observed, elsewhere):
            last = (await reading.to_end())[-1]
            assert (last.event, last.json()) == ("ended", {"reason": "gone"})
        assert await chat.metric("readers_cut_total", reason="gone") == 1
    assert (await chat.service(*OBSERVE).get(path)).status_code == 404


async def test_history_and_live_events_do_not_repeat_one_another(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    await student.ask(session_id, "[[echo pace=0]] Alpha")
    monitoring = chat.service(*OBSERVE)
    async with monitoring.reading("GET", watch(session_id, follow="true")) as observed:
        await observed.until_seen("history-end")
        await student.ask(session_id, "[[echo pace=0]] Beta")
        await observed.until_seen("complete")
        assert observed.names.count("history") == 2
        assert text_of(observed.events).strip() == "Beta"
        assert after_history(observed)[0] == "start"


async def test_an_observation_that_is_not_renewed_ends_and_a_renewed_one_goes_on(
    around: Surroundings,
) -> None:
    async with run_chat(around, observation_seconds=0.6) as chat, run_chat(around) as second:
        student = await chat.student()
        session_id = await student.new_session()
        monitoring = chat.service(*OBSERVE)
        elsewhere = second.service(*OBSERVE)  # which replica is asked to renew does not matter
        kept, left = watch(session_id, follow="true"), watch(session_id, follow="true")
        kept_id = kept.split("observationId=")[1].split("&")[0]
        async with monitoring.reading("GET", kept) as renewed:
            async with monitoring.reading("GET", left) as dropped:

                async def renew(_: object = None) -> None:
                    answer = await elsewhere.post(
                        "/internal/observations/renew", {"observationIds": [kept_id]}
                    )
                    assert answer.status_code == 204

                await renew()
                last = (await dropped.to_end())[-1]
                assert (last.event, last.json()["reason"]) == ("ended", "not_renewed")
                await renew()
            await student.ask(session_id, "[[pace=0 tokens=3]] Hi")
            await renewed.until_seen("complete")


async def test_an_observer_can_do_nothing_else(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    monitoring = chat.service(*OBSERVE)
    path = f"/api/chat/sessions/{session_id}"
    for method, tail, body in (
        ("POST", "/stop", None), ("POST", "/stream", {"message": "x"}),
        ("POST", "/messages", {"message": "x"}), ("DELETE", "", None), ("GET", "", None),
    ):  # fmt: skip
        answer = await monitoring.request(
            method, path + tail, json=body, headers={"X-On-Behalf-Of": student.id}
        )
        assert answer.status_code == 403


async def test_a_malformed_observation_is_refused(chat: Chat) -> None:
    monitoring = chat.service(*OBSERVE)
    named = f"observationId={new_id('obs')}"
    for query in ("", f"{named}&view=all", "observationId=a.b", f"{named}&x=1"):
        path = f"/api/chat/sessions/{new_id('ses')}/observe?{query}"
        assert (await monitoring.get(path)).status_code == 422
