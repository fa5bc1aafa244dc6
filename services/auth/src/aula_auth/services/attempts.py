"""The limits of sign-in and registration."""

from dataclasses import dataclass

from aula_auth.domain.attempt import Limit
from aula_auth.domain.moment import moment
from aula_auth.domain.ports import AttemptStore
from aula_auth.domain.user import name_key
from aula_common.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLimits:
    """Failures for one name from one address, failures from one address, registrations."""

    name: Limit
    address: Limit
    registration: Limit


class AttemptGuard:
    """Counts each attempt before it is looked at, so that a thousand at once are counted too."""

    def __init__(self, attempts: AttemptStore, *, limits: AttemptLimits, clock: Clock) -> None:
        self._attempts = attempts
        self._limits = limits
        self._clock = clock

    async def admit_sign_in(self, name: str, address: str | None) -> None:
        """Raise RateLimitedError after too many failures."""
        await self._admit(_by_name(name, address), self._limits.name)
        await self._admit(_by_address(address), self._limits.address)

    async def pass_sign_in(self, name: str, address: str | None) -> None:
        """The attempt was no failure."""
        await self._attempts.forget(_by_name(name, address))
        await self._attempts.take_back(_by_address(address))

    async def admit_confirmation(self, user_id: str) -> None:
        """Raise RateLimitedError after a signed-in user's too many wrong passwords."""
        await self._admit(_by_user(user_id), self._limits.name)

    async def pass_confirmation(self, user_id: str) -> None:
        """The password was right."""
        await self._attempts.forget(_by_user(user_id))

    async def admit_registration(self, address: str | None) -> None:
        """Raise RateLimitedError after too many from one address."""
        await self._admit(f"register\n{address}", self._limits.registration)

    async def _admit(self, key: str, limit: Limit) -> None:
        now = moment(self._clock)
        tally = await self._attempts.add(key, now=now, window=limit.window)
        tally.require_within(limit, now=now)


def _by_name(name: str, address: str | None) -> str:
    return f"name\n{name_key(name)}\n{address}"


def _by_user(user_id: str) -> str:
    return f"user\n{user_id}"


def _by_address(address: str | None) -> str:
    return f"address\n{address}"
