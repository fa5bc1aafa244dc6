"""What the local provider saw of a cell."""

from dataclasses import dataclass
from typing import Any

import httpx

from aula_devstack.platform import Platform


@dataclass(frozen=True)
class Attempts:
    """What the provider saw of a cell: who was asked, and how each attempt ended."""

    requests: list[dict[str, Any]]

    @classmethod
    async def of(cls, platform: Platform, nonce: str) -> "Attempts":
        """Those that carried the nonce."""
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{platform.bedrock.url}/requests", params={"nonce": nonce})
        return cls(answer.json()["requests"])

    @property
    def outcomes(self) -> list[str]:
        """How they ended, in their order."""
        return [request["outcome"] for request in self.requests]

    @property
    def models(self) -> list[str]:
        """Who was asked, each once, in their order."""
        return list(dict.fromkeys(request["modelId"] for request in self.requests))
