"""The models on offer."""

from typing import Annotated

from fastapi import APIRouter

from aula_chat.api.dependencies import Services
from aula_chat.api.schemas.models import ModelList, ModelView
from aula_chat.domain.models import DEFAULT_MODEL
from aula_common.security.principal import Principal
from aula_common.web.access import user

router = APIRouter(prefix="/api/models", tags=["models"])


@router.get("")
async def list_models(caller: Annotated[Principal, user()], services: Services) -> ModelList:
    """The models of the caller's tier, with limits and prices."""
    offers = await services.models.offers(caller)
    return ModelList(models=[ModelView.of(offer) for offer in offers], default=DEFAULT_MODEL)
