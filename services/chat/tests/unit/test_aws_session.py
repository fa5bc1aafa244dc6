"""The lean session resolves what botocore's own does, and holds little for it."""

import gzip
from pathlib import Path
from typing import Any

import aiobotocore.session
import pytest
from botocore.exceptions import DataNotFoundError
from botocore.regions import EndpointResolver

from aula_chat.clients.aws_session import lean_session

ASKED = ("bedrock", "bedrock-runtime", "oidc", "portal.sso", "signin", "sts")


def addresses(session: Any) -> dict[str, Any]:
    found: dict[str, Any] = session.get_component("data_loader").load_data("endpoints")
    return found


def test_of_the_list_of_addresses_those_are_kept_that_chat_asks() -> None:
    whole = addresses(aiobotocore.session.get_session())
    lean = addresses(lean_session())
    for partition in whole["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in ASKED if name in services}
    assert lean == whole


@pytest.mark.parametrize("service", ASKED)
def test_a_service_has_the_same_address_in_every_region(service: str) -> None:
    whole = addresses(aiobotocore.session.get_session())
    ours, theirs = EndpointResolver(addresses(lean_session())), EndpointResolver(whole)
    regions = [region for partition in whole["partitions"] for region in partition["regions"]]
    assert len(regions) > 30
    for region in [*regions, "eu-somewhere-9"]:
        wanted = theirs.construct_endpoint(service, region)
        assert ours.construct_endpoint(service, region) == wanted, region


def test_what_botocore_does_not_have_the_lean_session_has_not_either() -> None:
    loader = lean_session().get_component("data_loader")
    with pytest.raises(DataNotFoundError):
        loader.load_data("no-such-file")


def test_a_list_that_is_packed_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "endpoints.json.gz").write_bytes(
        gzip.compress(b'{"partitions":[{"partition":"own","services":{"sts":{},"s3":{}}}]}')
    )
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    own = {"partition": "own", "services": {"sts": {}}}
    assert addresses(lean_session()) == {"partitions": [own]}
