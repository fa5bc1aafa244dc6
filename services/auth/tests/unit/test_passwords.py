"""Password hashes: their form, their cost, the bound on how many run."""

import asyncio
import threading

import pytest
from passlib.context import CryptContext

from aula_auth.services.passwords import Argon2Cost, Passwords
from aula_common.errors import RateLimitedError

CHEAP = Argon2Cost(memory_kib=64, passes=1, lanes=1)


async def test_hash_is_argon2id_and_verifies() -> None:
    passwords = Passwords(CHEAP, workers=1, queue=4)
    stored = await passwords.hash("a password")
    assert stored.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert (await passwords.verify("a password", stored)).right
    assert not (await passwords.verify("another", stored)).right
    passwords.close()


async def test_hash_of_an_older_cost_is_renewed() -> None:
    old, new = (
        Passwords(CHEAP, workers=1, queue=4),
        Passwords(Argon2Cost(memory_kib=128, passes=1, lanes=1), workers=1, queue=4),
    )
    verdict = await new.verify("a password", await old.hash("a password"))
    assert verdict.new_hash is not None
    assert verdict.new_hash.startswith("$argon2id$v=19$m=128,")
    assert (await new.verify("a password", verdict.new_hash)).new_hash is None
    old.close()
    new.close()


async def test_unknown_user_costs_one_hash_of_the_same_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passwords = Passwords(CHEAP, workers=1, queue=4)
    stored = await passwords.hash("a password")
    compared: list[str] = []
    original = CryptContext.verify_and_update

    def watched(self: CryptContext, secret: str, hash_: str) -> object:
        compared.append(hash_)
        return original(self, secret, hash_)

    monkeypatch.setattr(CryptContext, "verify_and_update", watched)
    assert not (await passwords.verify("nobody has this password", None)).right
    assert not (await passwords.verify("wrong", stored)).right
    assert len(compared) == 2
    assert compared[0].rsplit("$", 2)[0] == compared[1].rsplit("$", 2)[0]
    passwords.close()


async def test_flood_is_refused_beyond_the_queue_and_served_again_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passwords = Passwords(CHEAP, workers=1, queue=2)
    gate = threading.Event()
    monkeypatch.setattr(passwords._context, "hash", lambda _: gate.wait(10) and "hash")
    waiting = [asyncio.create_task(passwords.hash("a password")) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(RateLimitedError):
        await passwords.hash("a password")
    gate.set()
    assert await asyncio.gather(*waiting) == ["hash"] * 3
    assert await passwords.hash("a password") == "hash"
    passwords.close()


async def test_caller_that_leaves_still_counts_until_its_hash_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passwords = Passwords(CHEAP, workers=1, queue=0)
    gate, begun, done = threading.Event(), threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(_: str) -> str:
        begun.set()
        gate.wait(10)
        return "hash"

    monkeypatch.setattr(passwords._context, "hash", slow)
    original = passwords._freed

    def freed() -> None:
        original()
        done.set()

    monkeypatch.setattr(passwords, "_freed", freed)
    leaving = asyncio.create_task(passwords.hash("a password"))
    await loop.run_in_executor(None, begun.wait, 10)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    with pytest.raises(RateLimitedError):
        await passwords.hash("a password")
    gate.set()
    await asyncio.wait_for(done.wait(), 10)
    assert await passwords.hash("a password") == "hash"
    passwords.close()
