"""A session of botocore's that holds the addresses of those services only that chat asks.

botocore reads a list of all services' addresses in all regions: 7 MB as it keeps it.
"""

import gzip
from pathlib import Path
from typing import Any

from aiobotocore.session import AioSession, get_session
from botocore.loaders import JSONFileLoader, create_loader
from msgspec import Raw
from msgspec.json import decode

_LIST = "endpoints"
# the models, and where credentials come from: a role's, a single sign-on's, a login's
_ASKED = frozenset({"bedrock", "bedrock-runtime", "oidc", "portal.sso", "signin", "sts"})
_Document = dict[str, Any]


def lean_session() -> AioSession:
    """A session for clients of those services."""
    session = get_session()
    loader = create_loader(session.get_config_variable("data_path"))
    loader.file_loader = _LeanFileLoader()
    session.register_component("data_loader", loader)
    return session


class _LeanFileLoader(JSONFileLoader):  # type: ignore[misc]  # botocore has no types
    """Passes over most of one file without making anything of it."""

    def load_file(self, file_path: str) -> _Document | None:
        """As botocore's: a path without its ending; None if there is no such file."""
        if Path(file_path).name != _LIST:
            document: _Document | None = super().load_file(file_path)
            return document
        for path, opened in ((f"{file_path}.json", open), (f"{file_path}.json.gz", gzip.open)):
            if Path(path).is_file():
                with opened(path, "rb") as file:
                    return _lean(file.read())
        return None


def _lean(data: bytes) -> _Document:
    document = decode(data, type=dict[str, Raw])
    partitions = decode(document.pop("partitions"), type=list[dict[str, Raw]])
    return {**_decoded(document), "partitions": [_lean_partition(one) for one in partitions]}


def _lean_partition(partition: dict[str, Raw]) -> _Document:
    services = decode(partition.pop("services"), type=dict[str, Raw])
    asked = {name: raw for name, raw in services.items() if name in _ASKED}
    return {**_decoded(partition), "services": _decoded(asked)}


def _decoded(raws: dict[str, Raw]) -> _Document:
    return {name: decode(raw) for name, raw in raws.items()}
