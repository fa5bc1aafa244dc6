from collections import Counter

import pytest

from aula_common.ids import is_id, new_id


def given_bytes(monkeypatch: pytest.MonkeyPatch, *draws: bytes) -> None:
    waiting = list(draws)
    monkeypatch.setattr("aula_common.ids.secrets.token_bytes", lambda _: waiting.pop(0))


def test_an_id_is_its_prefix_and_26_small_letters_and_digits() -> None:
    ids = {new_id("usr") for _ in range(1000)}
    assert len(ids) == 1000
    for one in ids:
        prefix, _, characters = one.partition("_")
        assert prefix == "usr"
        assert len(characters) == 26
        assert characters.isalnum()
        assert characters == characters.lower()
        assert is_id(one)


def test_each_character_is_as_likely_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[str] = Counter()
    for byte in range(252):
        given_bytes(monkeypatch, bytes([byte]) * 26)
        seen.update({new_id("x")[-1]})
    assert len(seen) == 36
    assert set(seen.values()) == {7}


def test_bytes_that_would_favour_some_characters_are_drawn_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left_over = bytes([252, 253, 254, 255])
    given_bytes(monkeypatch, left_over * 9, left_over + bytes(20), bytes([1]) * 36)
    assert new_id("x") == "x_" + "a" * 20 + "b" * 6
