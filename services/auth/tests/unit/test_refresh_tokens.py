"""Refresh tokens: what is recognised, what is sealed for whom."""

import re

import pytest

from aula_auth.domain.refresh_token import RefreshTokens
from aula_common.ids import new_id

FAMILY = "fam_" + "a2b3" * 6 + "a2"


def test_token_is_recognised_with_its_family_and_generation() -> None:
    tokens = RefreshTokens(b"secret")
    issued = tokens.issue(FAMILY, 7)
    assert tokens.recognise(issued.text) == issued
    assert (issued.family_id, issued.generation) == (FAMILY, 7)


def test_two_tokens_of_one_generation_differ_in_256_random_bits() -> None:
    tokens = RefreshTokens(b"secret")
    first, second = tokens.issue(FAMILY, 1), tokens.issue(FAMILY, 1)
    assert first.digest != second.digest
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", first.text.split(".")[2])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rubbish",
        f"{FAMILY}.1.{'A' * 43}.{'A' * 22}",
        f"{FAMILY}.\u0661.{'A' * 43}.{'A' * 22}",
        "a.b.c.d",
        "\0",
        "x" * 100_000,
    ],
)
def test_made_up_token_is_not_recognised(text: str) -> None:
    assert RefreshTokens(b"secret").recognise(text) is None


def test_token_with_another_family_or_generation_is_not_recognised() -> None:
    tokens = RefreshTokens(b"secret")
    text = tokens.issue(FAMILY, 3).text
    assert tokens.recognise(text.replace(FAMILY, new_id("fam"))) is None
    assert tokens.recognise(text.replace(".3.", ".4.")) is None


def test_token_of_another_secret_is_not_recognised() -> None:
    text = RefreshTokens(b"one secret").issue(FAMILY, 1).text
    assert RefreshTokens(b"another secret").recognise(text) is None


def test_sealed_child_opens_for_its_parent_only() -> None:
    tokens = RefreshTokens(b"secret")
    parent, child, stranger = (tokens.issue(FAMILY, n) for n in (1, 2, 1))
    sealed = tokens.seal(child, parent=parent)
    assert tokens.unseal(sealed, parent=parent) == child
    assert tokens.unseal(sealed, parent=stranger) is None
    assert child.text.encode() not in sealed


def test_sealed_child_does_not_open_under_another_secret() -> None:
    tokens = RefreshTokens(b"secret")
    parent, child = tokens.issue(FAMILY, 1), tokens.issue(FAMILY, 2)
    assert (
        RefreshTokens(b"another").unseal(tokens.seal(child, parent=parent), parent=parent) is None
    )


def test_representation_does_not_show_the_secret() -> None:
    issued = RefreshTokens(b"secret").issue(FAMILY, 1)
    assert issued.text.split(".")[2] not in repr(issued)
