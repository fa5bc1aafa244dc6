"""LiteLLM's proxy in a virtual environment of its own."""

import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml
from bench.processes import RESULTS
from bench.stream import environments

from aula_devstack.servers.probes import http_status
from aula_devstack.servers.process import Process

VERSION = "1.106.2"
_HOME = RESULTS / f"litellm-{VERSION}"
_INSTALLED = _HOME / ".installed"
_COMPILED = _HOME / ".compiled"


def install(report: Callable[[str], None]) -> None:
    """Install and compile the pinned version, once; CalledProcessError if it can't be installed."""
    if not _INSTALLED.exists():
        report(f"installing LiteLLM {VERSION} in {_HOME}")
        environments.install(_HOME, f"litellm[proxy]=={VERSION}")
        _INSTALLED.touch()
    if not _COMPILED.exists():  # as chat is: who compiles at its start holds more memory
        report("compiling it")
        python = str(_HOME / "bin" / "python")
        words = [python, "-m", "compileall", "-q", "-j", "0", str(_HOME / "lib")]
        # unchecked: some of its templates are no Python
        subprocess.run(words, check=False, stdout=subprocess.DEVNULL)  # noqa: S603 - our own tool
        _COMPILED.touch()


class LiteLlm(Process):
    """One worker, no database, before one Bedrock endpoint; it wants its key of every caller."""

    ready_within = 120

    def __init__(self, *, port: int, bedrock: str, model: str, log_file: Path) -> None:
        # without this it asks the internet for prices
        environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        super().__init__(name="litellm", port=port, log_file=log_file, environment=environment)
        self.key = f"sk-{secrets.token_hex(16)}"
        self._settings = log_file.with_suffix(".yaml")
        self._provider = {
            "model": f"bedrock/converse/{model}",
            "aws_bedrock_runtime_endpoint": bedrock,
            "aws_region_name": "us-east-1",
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
        }

    def prepare(self) -> None:
        """Write its settings."""
        document = {
            "model_list": [{"model_name": "bench", "litellm_params": self._provider}],
            "general_settings": {"master_key": self.key},
        }
        self._settings.write_text(yaml.safe_dump(document))

    def command(self) -> list[str]:
        """Its own command."""
        return [
            str(_HOME / "bin" / "python"), str(_HOME / "bin" / "litellm"),
            "--config", str(self._settings), "--host", "127.0.0.1", "--port", str(self.port),
            "--num_workers", "1",
        ]  # fmt: skip

    def answers(self) -> bool:
        """Whether it is alive."""
        return http_status(self.port, "/health/liveliness") == 200
