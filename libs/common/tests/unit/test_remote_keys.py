"""Keys are fetched once and not in a storm, and outlive auth's absence."""

import asyncio
from typing import Any

import pytest

from aula_common.errors import UnauthorizedError, UnavailableError
from aula_common.security.keys import RemoteKeys, parse_jwks
from aula_common.security.verifier import TokenVerifier
from aula_common.testing import ManualClock, TokenMint


class Publisher:
    """auth's key set: counts the fetches, can hold them back, be away or answer nonsense."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self.fetches = 0
        self.away = False
        self.open = asyncio.Event()
        self.open.set()

    async def fetch(self) -> Any:
        self.fetches += 1
        await self.open.wait()
        if self.away:
            raise UnavailableError("auth")
        return self.document


def build(mint: TokenMint) -> tuple[Publisher, RemoteKeys, TokenVerifier, ManualClock]:
    clock = ManualClock()
    publisher = Publisher(mint.jwks())
    keys = RemoteKeys(publisher.fetch, clock=clock, pause=10, max_age=300)
    verifier = TokenVerifier(audience="common", issuer="aula", clock=clock, keys=keys)
    return publisher, keys, verifier, clock


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_hundred_verifications_at_once_cause_one_fetch() -> None:
    mint = TokenMint(ManualClock())
    publisher, _, verifier, _ = build(mint)
    tokens = [mint.user(f"usr_{n}") for n in range(100)]
    publisher.open.clear()
    waiting = asyncio.gather(*(verifier.verify(token) for token in tokens))
    await settle()
    publisher.open.set()
    principals = await waiting
    assert [principal.id for principal in principals] == [f"usr_{n}" for n in range(100)]
    assert publisher.fetches == 1


async def test_unknown_ids_cause_one_fetch_in_each_pause() -> None:
    mint, forger = TokenMint(ManualClock()), TokenMint(ManualClock())
    publisher, _, verifier, clock = build(mint)
    await verifier.verify(mint.user("usr_1"))
    clock.advance(10)

    async def attack(number: int) -> None:
        forger.kid = f"key_{number}"
        with pytest.raises(UnauthorizedError):
            await verifier.verify(forger.user("usr_1"))

    for number in range(100):
        await attack(number)
    assert publisher.fetches == 2
    clock.advance(10)
    await attack(100)
    assert publisher.fetches == 3


async def test_a_new_key_is_found_by_the_first_token_that_names_it() -> None:
    old, new = TokenMint(ManualClock()), TokenMint(ManualClock())
    publisher, _, verifier, clock = build(old)
    await verifier.verify(old.user("usr_1"))
    clock.advance(10)
    publisher.document = {"keys": old.jwks()["keys"] + new.jwks()["keys"]}
    assert (await verifier.verify(new.user("usr_2"))).id == "usr_2"
    assert (await verifier.verify(old.user("usr_1"))).id == "usr_1"


async def test_a_caller_who_is_cancelled_spoils_nothing_for_the_others() -> None:
    mint = TokenMint(ManualClock())
    publisher, _, verifier, _ = build(mint)
    publisher.open.clear()
    leaver = asyncio.create_task(verifier.verify(mint.user("usr_1")))
    await settle()
    stayer = asyncio.create_task(verifier.verify(mint.user("usr_2")))
    await settle()
    leaver.cancel()
    await settle()
    publisher.open.set()
    assert (await stayer).id == "usr_2"
    assert publisher.fetches == 1


async def test_known_keys_verify_while_auth_is_away_and_nobody_waits_for_it() -> None:
    mint = TokenMint(ManualClock())
    publisher, _, verifier, clock = build(mint)
    await verifier.verify(mint.user("usr_1"))
    clock.advance(301)
    publisher.open.clear()  # auth hangs
    async with asyncio.timeout(1):
        assert (await verifier.verify(mint.user("usr_2"))).id == "usr_2"
    await settle()
    assert publisher.fetches == 2
    publisher.away = True
    publisher.open.set()
    await settle()
    assert (await verifier.verify(mint.user("usr_3"))).id == "usr_3"
    assert publisher.fetches == 2  # and it is left alone for a while


async def test_an_unknown_id_while_auth_is_away_is_a_401() -> None:
    mint, forger = TokenMint(ManualClock()), TokenMint(ManualClock())
    publisher, _, verifier, clock = build(mint)
    await verifier.verify(mint.user("usr_1"))
    publisher.away = True
    clock.advance(10)
    for _ in range(20):
        with pytest.raises(UnauthorizedError):
            await verifier.verify(forger.user("usr_1"))
    assert publisher.fetches == 2


async def test_without_any_key_ever_it_says_that_auth_is_away_and_recovers() -> None:
    mint = TokenMint(ManualClock())
    publisher, _, verifier, clock = build(mint)
    publisher.away = True
    for _ in range(20):
        with pytest.raises(UnavailableError):
            await verifier.verify(mint.user("usr_1"))
    assert publisher.fetches == 1
    publisher.away = False
    clock.advance(1)
    assert (await verifier.verify(mint.user("usr_1"))).id == "usr_1"


async def test_a_withdrawn_key_ends_at_the_next_refresh_and_causes_no_fetch() -> None:
    old, new = TokenMint(ManualClock()), TokenMint(ManualClock())
    publisher, _, verifier, clock = build(old)
    await verifier.verify(old.user("usr_1"))
    publisher.document = new.jwks()
    clock.advance(301)
    await verifier.verify(old.user("usr_1"))  # starts the refresh
    await settle()
    assert publisher.fetches == 2
    clock.advance(11)
    with pytest.raises(UnauthorizedError):
        await verifier.verify(old.user("usr_1"))
    assert publisher.fetches == 2


@pytest.mark.parametrize("nonsense", [{}, {"keys": None}, {"keys": [1, {}, {"kid": "a"}]}])
async def test_an_answer_without_keys_takes_none_away(nonsense: Any) -> None:
    mint = TokenMint(ManualClock())
    publisher, keys, verifier, clock = build(mint)
    await verifier.verify(mint.user("usr_1"))
    publisher.document = nonsense
    clock.advance(301)
    await keys.find("key_other")
    assert (await verifier.verify(mint.user("usr_1"))).id == "usr_1"


def test_keys_that_are_not_for_our_signatures_are_left_out() -> None:
    entry = TokenMint().jwks()["keys"][0]
    document = {
        "keys": [
            {**entry, "kid": "good"},
            {**entry, "kid": "for encryption", "use": "enc"},
            {**entry, "kid": 7},
            {**entry, "kid": "broken", "x": "AA"},
            {"kid": "secret", "kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
            {"kid": "none", "kty": "oct", "k": "", "alg": "none"},
            {"kid": "empty"},
            "text",
        ]
    }
    assert parse_jwks(document).keys() == {"good"}
