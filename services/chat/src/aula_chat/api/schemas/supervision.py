"""What monitoring asks and is told."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from aula_common.web.schemas import Identifier, RequestModel, ResponseModel


class Owner(ResponseModel):
    """Whose session it is."""

    user_id: str


class Renewal(RequestModel):
    """The observations that go on."""

    observation_ids: Annotated[list[Identifier], Field(max_length=10_000)]


class ObservationQuery(BaseModel):
    """How a session is to be observed: `follow` stays for the next answers, too."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="forbid")

    observation_id: Identifier
    follow: bool = False
    view: Literal["live", "summary"] = "live"
