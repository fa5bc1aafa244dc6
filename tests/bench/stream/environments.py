"""Virtual environments of the contenders' own: what a process imports is part of what it costs."""

import subprocess
import sys
from pathlib import Path

from bench.processes import RESULTS, TESTS

_ROOT = TESTS.parent


def install(home: Path, *packages: str) -> str:
    """Make an environment of these packages anew; its interpreter.

    CalledProcessError if they can't be installed.
    """
    uv = str(Path(sys.executable).parent / "uv")
    python = str(home / "bin" / "python")
    for words in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home)],
        [uv, "pip", "install", "--quiet", "--python", python, *packages],
    ):
        subprocess.run(words, check=True)  # noqa: S603 - our own tool
    return python


def install_chat() -> str:
    """Chat as it is now, as its image has it: alone, pinned, compiled; its interpreter."""
    libraries = [str(_ROOT / "libs" / "common"), str(_ROOT / "services" / "chat")]
    pinned = ["--constraints", str(_ROOT / "constraints.txt")]
    # without the workspace's sources, which would make links to the development checkout of them
    return install(RESULTS / "chat", *pinned, "--no-sources", "--compile-bytecode", *libraries)
