"""The whole way of an answer: asked, shown, stored, paid."""

from chat_builders import SONNET, Chat, numbers_of, text_of


async def test_an_answer_is_shown_stored_and_paid(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    events = await student.ask(session_id, "[[pace=0 tokens=40]] Explain the tides.")
    assert [events[0].event, events[1].event, events[-1].event] == ["start", "model", "complete"]
    assert numbers_of(events) == list(range(1, len(events) + 1))
    complete = events[-1].json()
    assert complete["status"] == "complete"
    assert complete["settlement"] == "settled"
    assert complete["usage"]["outputTokens"] == 40
    question, answer = await student.messages(session_id)
    assert question["role"] == "user"
    assert answer["content"] == text_of(events)
    assert answer["id"] == complete["messageId"]
    assert answer["metadata"]["actualModelUsed"] == SONNET
    assert answer["metadata"]["credits"] == complete["credits"]
    balance = await chat.credits_of(student.id)
    assert balance["available"] == 1000 - complete["credits"]
    assert balance["held"] == 0
