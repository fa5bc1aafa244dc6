"""Where things are: the checkout, and the home of the running platform."""

import os
from pathlib import Path

from aula_devstack.errors import DevstackError

CADDYFILE = Path("deploy", "gateway", "Caddyfile")
MARKER = Path("libs", "devstack", "pyproject.toml")
HOME_VARIABLE = "AULA_HOME"


def workspace_root() -> Path:
    """The root of the checkout: around this package, else around the working directory."""
    for start in (Path(__file__).resolve(), Path.cwd()):
        for folder in (start, *start.parents):
            if (folder / MARKER).is_file():
                return folder
    raise DevstackError(f"found no checkout of Aula (a folder that holds {MARKER})")


def caddyfile() -> Path:
    """The gateway's configuration, the same as in production."""
    return workspace_root() / CADDYFILE


def default_home() -> Path:
    """`AULA_HOME`, else `.aula` in the checkout."""
    given = os.environ.get(HOME_VARIABLE)
    return Path(given).expanduser().absolute() if given else workspace_root() / ".aula"
