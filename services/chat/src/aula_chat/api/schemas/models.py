"""Models on the wire."""

from decimal import Decimal

from aula_chat.services.models import Offer
from aula_common.web.schemas import ResponseModel


class CreditCost(ResponseModel):
    """Credits per 1,000 tokens."""

    input: Decimal
    output: Decimal


class ModelView(ResponseModel):
    """A model on offer; without a cost it can't be used at the moment. Limits are in tokens."""

    id: str
    name: str
    provider: str
    description: str
    available: bool
    credit_cost: CreditCost | None
    max_tokens: int
    context_window: int
    fallbacks: list[str]

    @classmethod
    def of(cls, offer: Offer) -> "ModelView":
        """The view of an offer."""
        model, rate = offer.model, offer.rate
        return cls(
            id=model.id,
            name=model.name,
            provider=model.provider,
            description=model.description,
            available=rate is not None,
            credit_cost=CreditCost(input=rate.input, output=rate.output) if rate else None,
            max_tokens=model.max_output_tokens,
            context_window=model.context_window,
            fallbacks=list(model.fallbacks),
        )


class ModelList(ResponseModel):
    """The models that the caller may use."""

    models: list[ModelView]
    default: str
