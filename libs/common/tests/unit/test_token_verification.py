"""Every token that is not valid here and now is one and the same 401."""

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from pydantic import SecretStr
from token_attacks import ATTACKS, NOW, encode

from aula_common.errors import UnauthorizedError
from aula_common.security.keys import VerificationKey
from aula_common.security.principal import Principal, Role
from aula_common.security.verifier import TokenVerifier
from aula_common.testing import ManualClock, TokenMint
from aula_common.web.problems import problem_document

SECRET = "a-shared-secret-of-more-than-32-bytes"


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
async def test_every_attack_is_the_same_401(attack: Callable[[TokenMint], str]) -> None:
    mint = TokenMint(ManualClock())
    with pytest.raises(UnauthorizedError) as caught:
        await mint.verifier("common").verify(attack(mint))
    assert problem_document(caught.value) == problem_document(UnauthorizedError())
    assert caught.value.headers == {"WWW-Authenticate": "Bearer"}


async def test_a_persons_token_becomes_the_person() -> None:
    mint = TokenMint(ManualClock())
    token = mint.user("usr_1", role=Role.SUPERVISOR, tier="pro", teams=["tea_1"], sid="fam_1")
    principal = await mint.verifier("common").verify(token)
    assert (principal.id, principal.role, principal.tier) == ("usr_1", Role.SUPERVISOR, "pro")
    assert (principal.teams, principal.session_id) == (("tea_1",), "fam_1")
    assert not principal.is_service


async def test_a_services_token_carries_its_scopes() -> None:
    mint = TokenMint(ManualClock())
    token = mint.service("chat", audience="common", scopes=["rates:read", "credits:read"])
    principal = await mint.verifier("common").verify(token)
    assert principal.is_service
    assert principal.scopes == {"rates:read", "credits:read"}


async def test_a_token_verified_before_expires_all_the_same() -> None:
    clock = ManualClock()
    mint = TokenMint(clock)
    verifier, token = mint.verifier("common"), mint.user("usr_1")
    await verifier.verify(token)
    clock.advance(15 * 60 + 4)
    await verifier.verify(token)
    clock.advance(1)
    with pytest.raises(UnauthorizedError):
        await verifier.verify(token)


class Withdrawable:
    """A source of keys from which the key can be taken away."""

    def __init__(self, mint: TokenMint) -> None:
        self.mint = mint
        self.withdrawn = False

    async def find(self, kid: str) -> VerificationKey | None:
        return None if self.withdrawn else await self.mint.find(kid)


async def test_a_withdrawn_key_takes_tokens_verified_before_with_it() -> None:
    mint = TokenMint(ManualClock())
    keys = Withdrawable(mint)
    verifier = TokenVerifier(audience="common", issuer="aula", clock=mint.clock, keys=keys)
    token = mint.user("usr_1")
    await verifier.verify(token)
    keys.withdrawn = True
    with pytest.raises(UnauthorizedError):
        await verifier.verify(token)


class Revoked:
    def __init__(self) -> None:
        self.ids: set[str] = set()

    def revoked(self, principal: Principal) -> bool:
        return principal.id in self.ids


async def test_revocation_is_asked_after_the_cache() -> None:
    mint = TokenMint(ManualClock())
    revoked = Revoked()
    verifier = TokenVerifier(
        audience="common", issuer="aula", clock=mint.clock, keys=mint, revocations=revoked
    )
    token = mint.user("usr_1")
    await verifier.verify(token)
    revoked.ids.add("usr_1")
    with pytest.raises(UnauthorizedError):
        await verifier.verify(token)


def legacy_verifier(clock: ManualClock) -> TokenVerifier:
    return TokenVerifier(audience="common", issuer="aula", clock=clock, secret=SecretStr(SECRET))


def legacy(secret: str = SECRET, headers: dict[str, Any] | None = None, **claims: Any) -> str:
    usual = {"userId": "usr_1", "role": "user", "exp": NOW + 60}
    return jwt.encode({**usual, **claims}, secret, algorithm="HS256", headers=headers)


async def test_shared_secret_mode_understands_an_existing_issuers_claims() -> None:
    principal = await legacy_verifier(ManualClock()).verify(legacy(headers={"typ": None}))
    assert (principal.id, principal.role) == ("usr_1", Role.ENDUSER)


async def test_shared_secret_mode_takes_our_own_tokens_too() -> None:
    token = legacy(sub="usr_2", role="admin", aud="aula", iss="aula", headers={"typ": "at+jwt"})
    principal = await legacy_verifier(ManualClock()).verify(token)
    assert (principal.id, principal.role) == ("usr_2", Role.ADMIN)


LEGACY_ATTACKS: dict[str, Callable[[], str]] = {
    "another secret": lambda: legacy("another-secret-of-more-than-32-bytes!"),
    "another algorithm": lambda: jwt.encode(
        {"userId": "usr_1", "role": "user", "exp": NOW + 60}, SECRET * 2, algorithm="HS512"
    ),
    "alg none": lambda: f"{encode({'alg': 'none'})}.{encode({'userId': 'usr_1', 'exp': NOW + 9})}.",
    "signed with a key pair": lambda: TokenMint(ManualClock()).user("usr_1"),
    "a refresh token": lambda: legacy(headers={"typ": "rt+jwt"}),
    "unknown crit": lambda: legacy(headers={"crit": ["x"], "x": 1}),
    "no exp": lambda: jwt.encode({"userId": "usr_1", "role": "user"}, SECRET, algorithm="HS256"),
    "expired": lambda: legacy(exp=NOW - 6),
    "no subject": lambda: legacy(userId=None),
    "subject a number": lambda: legacy(userId=7),
    "another aud": lambda: legacy(aud="another"),
    "another iss": lambda: legacy(iss="another"),
    "a service without aud": lambda: legacy(role="service", iss="aula"),
    "a service for another": lambda: legacy(role="service", iss="aula", aud="accounting"),
}


@pytest.mark.parametrize("attack", LEGACY_ATTACKS.values(), ids=LEGACY_ATTACKS.keys())
async def test_every_attack_on_the_shared_secret_is_the_same_401(attack: Callable[[], str]) -> None:
    with pytest.raises(UnauthorizedError):
        await legacy_verifier(ManualClock()).verify(attack())


def test_both_modes_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="never both"):
        TokenVerifier(
            audience="common",
            issuer="aula",
            clock=ManualClock(),
            keys=TokenMint(),
            secret=SecretStr(SECRET),
        )
