"""Names: what is allowed, what is the same."""

import pytest

from aula_auth.domain.user import is_email, is_username, name_key


@pytest.mark.parametrize("name", ["ada", "Ada.Lovelace", "a_b-c", "x" * 32, "007"])
def test_username_is_allowed(name: str) -> None:
    assert is_username(name)


@pytest.mark.parametrize(
    "name",
    ["", "ab", "x" * 33, "ada lovelace", "ada@home", ".ada", "ada-", "ad\0a", "adä", "ada\n"],
)
def test_username_is_refused(name: str) -> None:
    assert not is_username(name)


@pytest.mark.parametrize("address", ["a@b.org", "Ada.L+school@mail.example.org"])
def test_email_is_allowed(address: str) -> None:
    assert is_email(address)


@pytest.mark.parametrize(
    "address",
    ["", "ada", "ada@", "@b.org", "ada@host", "a b@c.org", "a@b..org", "a@b@c.org", "a@b.org\n"],
)
def test_email_is_refused(address: str) -> None:
    assert not is_email(address)


def test_email_beyond_its_length_is_refused() -> None:
    assert not is_email(f"ada@{'.'.join(['a' * 60] * 5)}")


def test_names_that_differ_in_case_or_form_have_one_key() -> None:
    assert name_key("ADA") == name_key("ada")
    assert name_key("Zoë@x.org") == name_key("Zoë@X.ORG")
    assert name_key("ada") != name_key("bob")
