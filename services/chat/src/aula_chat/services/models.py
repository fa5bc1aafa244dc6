"""The catalogue of models with their prices."""

from dataclasses import dataclass

from aula_chat.domain.models import Model, Rate, models_for
from aula_chat.domain.ports import CreditAccounts
from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.security.principal import Principal

_RATES_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A model and its price; without a price it can't be used."""

    model: Model
    rate: Rate | None


class Models:
    """What a person may choose from; rates are accounting's, kept for a minute."""

    def __init__(self, *, accounts: CreditAccounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock
        self._rates: dict[str, Rate] = {}
        self._read_at = float("-inf")

    async def offers(self, principal: Principal) -> list[Offer]:
        """The models of the caller's tier. UnavailableError if no rates were ever read."""
        await self._read_rates()
        return [
            Offer(model=model, rate=self._rates.get(model.id))
            for model in models_for(principal.tier)
        ]

    async def _read_rates(self) -> None:
        if self._clock.monotonic() - self._read_at < _RATES_SECONDS:
            return
        try:
            self._rates = dict(await self._accounts.rates())
        except UnavailableError:
            if not self._rates:
                raise
            return
        self._read_at = self._clock.monotonic()
