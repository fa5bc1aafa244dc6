"""Service tokens: one grant for all who wait, renewed from half their life."""

import asyncio

import pytest

from aula_common.errors import UnavailableError
from aula_common.security.service_tokens import GrantedToken, ServiceTokens
from aula_common.testing import ManualClock


class Issuer:
    def __init__(self) -> None:
        self.grants: list[str] = []
        self.away = False
        self.open = asyncio.Event()
        self.open.set()

    async def grant(self, audience: str) -> GrantedToken:
        self.grants.append(audience)
        await self.open.wait()
        if self.away:
            raise UnavailableError("auth")
        return GrantedToken(f"{audience}-{len(self.grants)}", 100)


def build() -> tuple[Issuer, ServiceTokens, ManualClock]:
    issuer, clock = Issuer(), ManualClock()
    return issuer, ServiceTokens(issuer, clock=clock), clock


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_all_who_wait_share_one_grant() -> None:
    issuer, tokens, _ = build()
    issuer.open.clear()
    waiting = asyncio.gather(*(tokens.token("chat") for _ in range(50)))
    await settle()
    issuer.open.set()
    assert set(await waiting) == {"chat-1"}
    assert issuer.grants == ["chat"]


async def test_all_who_wait_share_one_failure_rather_than_queue_for_their_own() -> None:
    issuer, tokens, _ = build()
    issuer.away = True
    issuer.open.clear()
    waiting = asyncio.gather(*(tokens.token("chat") for _ in range(50)), return_exceptions=True)
    await settle()
    issuer.open.set()
    assert all(isinstance(answer, UnavailableError) for answer in await waiting)
    assert issuer.grants == ["chat"]


async def test_each_audience_has_its_own() -> None:
    _, tokens, _ = build()
    assert await tokens.token("chat") != await tokens.token("accounting")


async def test_a_token_is_kept_for_half_its_life_and_renewed_while_it_still_serves() -> None:
    issuer, tokens, clock = build()
    await tokens.token("chat")
    clock.advance(49)
    assert await tokens.token("chat") == "chat-1"
    assert len(issuer.grants) == 1
    clock.advance(2)
    assert await tokens.token("chat") == "chat-1"  # nobody waits for the new one
    await settle()
    assert await tokens.token("chat") == "chat-2"
    assert len(issuer.grants) == 2


async def test_auths_absence_shows_only_when_the_token_is_about_to_expire() -> None:
    issuer, tokens, clock = build()
    await tokens.token("chat")
    issuer.away = True
    clock.advance(94)
    assert await tokens.token("chat") == "chat-1"
    await settle()
    clock.advance(2)
    with pytest.raises(UnavailableError):
        await tokens.token("chat")


async def test_one_who_stops_waiting_cancels_nobody_elses_grant() -> None:
    issuer, tokens, _ = build()
    issuer.open.clear()
    leaver = asyncio.create_task(tokens.token("chat"))
    stayer = asyncio.create_task(tokens.token("chat"))
    await settle()
    leaver.cancel()
    await settle()
    issuer.open.set()
    assert await stayer == "chat-1"
    assert len(issuer.grants) == 1


async def test_a_refused_token_is_forgotten_but_not_its_successor() -> None:
    _, tokens, _ = build()
    refused = await tokens.token("chat")
    tokens.forget("chat", refused)
    assert await tokens.token("chat") == "chat-2"
    tokens.forget("chat", refused)  # a slower call, refused with the old token
    assert await tokens.token("chat") == "chat-2"
    tokens.forget("chat")
    assert await tokens.token("chat") == "chat-3"
