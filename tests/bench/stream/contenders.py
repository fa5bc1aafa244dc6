"""What is compared: processes before one endpoint, and how each is asked."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import TESTS, UnderUvicorn
from bench.stream.litellm import LiteLlm

from aula_devstack.servers.ports import Ports
from aula_devstack.servers.probes import http_status
from aula_devstack.servers.process import Process

MODEL = "anthropic.claude-3-sonnet-20240229-v1:0"
QUESTION = "Why does the sky look blue by day and red in the evening?"
_BEDROCK_PATH = f"/model/{MODEL.replace(':', '%3A')}/converse-stream"
_BEDROCK_BODY = {"messages": [{"role": "user", "content": [{"text": QUESTION}]}]}
_BEDROCK_END = "messageStop"
_MODULE = __name__.rpartition(".")[0]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way from a caller to the endpoint."""

    name: str
    process: Process
    make_requests: Callable[[int], list[str]]
    """So many whole HTTP requests, each for a stream of its own."""
    end: str
    """What a whole answer has near its end."""
    behind: Mapping[str, Sequence[Process]] = field(default_factory=dict)
    """What works for it and is measured apart."""
    most: int = 1_000_000
    """Of streams at once."""
    longest: Mapping[int, int] = field(default_factory=dict)
    """By streams at once: deltas of the long streams, where it can't keep the pace of more."""


def post(path: str, body: object, *headers: str) -> str:
    """A whole HTTP request, after whose answer the connection is closed."""
    encoded = json.dumps(body)
    lines = [f"POST {path} HTTP/1.1", "Host: bench", "Connection: close", *headers]
    lines += ["Content-Type: application/json", f"Content-Length: {len(encoded.encode())}"]
    return "\r\n".join(lines) + "\r\n\r\n" + encoded


class Endpoint(Process):
    """The lean Bedrock endpoint."""

    def __init__(self, *, port: int, log_file: Path) -> None:
        environment = {"PYTHONPATH": str(TESTS)}
        super().__init__(name="endpoint", port=port, log_file=log_file, environment=environment)

    def command(self) -> list[str]:
        """Its module."""
        return [sys.executable, "-m", f"{_MODULE}.endpoint", "--port", str(self.port)]

    def answers(self) -> bool:
        """Whether it is alive."""
        return http_status(self.port, "/livez") == 200


class Nginx(Process):
    """nginx with one worker, which passes on without buffering."""

    program = shutil.which("nginx")

    def __init__(self, *, port: int, upstream: str, log_file: Path) -> None:
        super().__init__(name="nginx", port=port, log_file=log_file)
        self._settings = log_file.with_suffix(".conf")
        self._upstream = upstream

    def prepare(self) -> None:
        """Write its settings."""
        self._settings.write_text(
            f"daemon off; worker_processes 1; error_log {self.log_file};"
            f" pid {self._settings.with_suffix('.pid')};\n"
            "events { worker_connections 4096; }\n"
            "http { access_log off; server {\n"
            f"  listen 127.0.0.1:{self.port} backlog=2048;\n"
            f"  location / {{ proxy_pass {self._upstream}; proxy_http_version 1.1;"
            " proxy_buffering off; proxy_read_timeout 300; }\n"
            "} }\n"
        )

    def command(self) -> list[str]:
        """Its program with those settings."""
        assert self.program is not None
        return [self.program, "-c", str(self._settings)]

    def answers(self) -> bool:
        """Whether it and the endpoint behind it answer."""
        return http_status(self.port, "/livez") == 200


def _ask_bedrock(count: int) -> list[str]:
    return [post(_BEDROCK_PATH, _BEDROCK_BODY)] * count


def direct(endpoint: Endpoint) -> Contender:
    """Nobody between: what the others' times are compared with."""
    return Contender(
        name="direct", process=endpoint, make_requests=_ask_bedrock, end=_BEDROCK_END, most=200
    )


def bare(endpoint: Endpoint, *, ports: Ports, home: Path) -> Contender:
    """The bare pass-through."""
    process = UnderUvicorn(
        f"{_MODULE}.bare:app", name="bare", port=ports.any("bare"), log_file=home / "bare.log",
        environment={"UPSTREAM": endpoint.url}, ready_path="/livez",
    )  # fmt: skip
    return Contender(name="bare", process=process, make_requests=_ask_bedrock, end=_BEDROCK_END)


def nginx(endpoint: Endpoint, *, ports: Ports, home: Path) -> Contender:
    """nginx, where it is installed."""
    process = Nginx(port=ports.any("nginx"), upstream=endpoint.url, log_file=home / "nginx.log")
    return Contender(name="nginx", process=process, make_requests=_ask_bedrock, end=_BEDROCK_END)


def litellm(endpoint: Endpoint, *, ports: Ports, home: Path) -> Contender:
    """LiteLLM's proxy. It tops out near 900 deltas a second: its long streams are shorter."""
    process = LiteLlm(
        port=ports.any("litellm"), bedrock=endpoint.url, model=MODEL, log_file=home / "litellm.log"
    )
    body = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
    request = post("/chat/completions", body, f"Authorization: Bearer {process.key}")
    return Contender(
        name="LiteLLM",
        process=process,
        make_requests=lambda count: [request] * count,
        end="data: [DONE]",
        most=200,
        longest={200: 200},
    )
