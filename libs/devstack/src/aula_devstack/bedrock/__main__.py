"""`python -m aula_devstack.bedrock`: serves the local models until it is told to stop."""

from typing import Annotated

import typer
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aula_devstack.bedrock.app import BedrockEndpoint
from aula_devstack.bedrock.connection import TRANSPORT


class TransportProtocol(HttpToolsProtocol):
    """HTTP by uvicorn, which also hands the application its TCP transport, to cut it on request."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}


def main(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 18081,
    pace_ms: Annotated[float, typer.Option(min=0, help="Milliseconds for each token.")] = 30,
) -> None:
    """Speak Amazon Bedrock's protocol; the README beside this module lists the directives."""
    uvicorn.run(
        BedrockEndpoint(pace=pace_ms),
        host=host,
        port=port,
        http=TransportProtocol,
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    typer.run(main)
