"""What a service is granted."""

import pytest

from aula_auth.domain.errors import InvalidClientError, InvalidScopeError, InvalidTargetError
from aula_auth.domain.service_client import ServiceClient
from aula_auth.services.service_clients import ServiceClients

CHAT = ServiceClient(
    id="chat",
    secret="the secret of chat",
    scopes={"accounting": frozenset({"a", "b"}), "auth": frozenset({"c"})},
)
CLIENTS = ServiceClients({"chat": CHAT})


def test_without_a_wish_a_client_gets_all_its_scopes_at_the_audience() -> None:
    grant = CHAT.grant(audience="accounting", scope=None)
    assert (grant.client_id, grant.audience, grant.scopes) == (
        "chat",
        "accounting",
        frozenset({"a", "b"}),
    )


def test_client_may_ask_for_less() -> None:
    assert CHAT.grant(audience="accounting", scope="b").scopes == {"b"}


@pytest.mark.parametrize("scope", ["c", "a c", "*", " "])
def test_scope_beyond_the_own_is_refused(scope: str) -> None:
    with pytest.raises(InvalidScopeError):
        CHAT.grant(audience="accounting", scope=scope)


@pytest.mark.parametrize("audience", ["monitoring", "aula", "", None])
def test_audience_that_is_not_the_clients_is_refused(audience: str | None) -> None:
    with pytest.raises(InvalidTargetError):
        CHAT.grant(audience=audience, scope=None)


def test_only_audience_need_not_be_named() -> None:
    client = ServiceClient(id="x", secret="s", scopes={"auth": frozenset({"c"})})
    assert client.grant(audience=None, scope=None).audience == "auth"


@pytest.mark.parametrize(
    ("client_id", "secret"),
    [("chat", "wrong"), ("chat", ""), ("nobody", ""), ("nobody", "the secret of chat")],
)
def test_unknown_client_and_wrong_secret_are_refused(client_id: str, secret: str) -> None:
    with pytest.raises(InvalidClientError):
        CLIENTS.grant(client_id=client_id, secret=secret, audience="auth", scope=None)


def test_right_secret_is_granted() -> None:
    grant = CLIENTS.grant(
        client_id="chat", secret="the secret of chat", audience="auth", scope=None
    )
    assert grant.scopes == {"c"}


def test_representation_does_not_show_the_secret() -> None:
    assert "the secret of chat" not in repr(CHAT)
