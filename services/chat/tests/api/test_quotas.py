"""Accounting's quotas reach the one who asks, and of the refused attempt nothing remains."""

from collections.abc import AsyncIterator

import pytest
from chat_builders import Chat

_TIER = "enterprise"  # that no other test here uses for a stream: accounting is shared


@pytest.fixture
async def two_messages_a_day(chat: Chat) -> AsyncIterator[None]:
    """A quota for everybody of the tier."""
    await chat.limit_messages(_TIER, 2)
    try:
        yield
    finally:
        await chat.limit_messages(_TIER, None)


@pytest.mark.usefixtures("two_messages_a_day")
async def test_a_quota_of_the_tier_refuses_the_message_beyond_it(chat: Chat) -> None:
    student = await chat.student(tier=_TIER)
    session_id = await student.new_session()
    path = f"/api/chat/sessions/{session_id}"
    for _ in range(2):
        asked = await student.post(f"{path}/messages", {"message": "[[pace=0 tokens=3]] Hi"})
        assert asked.status_code == 200
    for kind in ("messages", "stream"):
        refused = await student.post(f"{path}/{kind}", {"message": "Once more"})
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        assert refused.json()["metric"] == "messages"
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.headers["X-RateLimit-Limit"] == "2"
    assert len(await chat.process.messages.newest(session_id, 9)) == 4
    assert (await chat.credits_of(student.id))["held"] == 0
    other = await chat.student()
    session_id = await other.new_session()
    answered = await other.post(
        f"/api/chat/sessions/{session_id}/messages", {"message": "[[pace=0 tokens=3]] Hi"}
    )
    assert answered.status_code == 200
