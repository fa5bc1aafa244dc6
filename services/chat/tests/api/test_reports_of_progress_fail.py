"""Reports of progress may all fail: what a stream needs of accounting goes on as ever."""

from dataclasses import replace

from chat_builders import Surroundings, run_chat

from aula_devstack.testing.tcp_proxy import Strike, tcp_proxy

_TAKEN_FOR_DEAD = 10  # failures in a row after which a client asks no more


async def test_streams_begin_and_settle_while_no_report_arrives(around: Surroundings) -> None:
    with tcp_proxy(around.accounting_url) as wire:
        far = replace(around, accounting_url=wire.through(around.accounting_url))
        async with run_chat(far, progress_seconds=0.01) as chat:
            student = await chat.student()
            session_id = await student.new_session()
            wire.arm(Strike.RESET, b"/streaming/heartbeat", once=False)
            for _ in range(2):
                events = await student.ask(session_id, "[[clear]] [[pace=20 tokens=40]] Hi")
                assert wire.strikes >= _TAKEN_FOR_DEAD
                assert events[-1].json()["settlement"] == "settled"
