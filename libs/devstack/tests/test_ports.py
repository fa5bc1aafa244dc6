"""Which port a server gets."""

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from aula_devstack.errors import PortTakenError
from aula_devstack.servers.ports import EPHEMERAL, Ports, is_free


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that a real listener holds."""
    port = Ports().any("listener")
    with socket.create_server(("127.0.0.1", port)):
        yield port


def test_a_port_with_a_listener_is_not_free(taken: int) -> None:
    assert not is_free(taken)


def test_a_listener_on_all_addresses_takes_the_port_too() -> None:
    port = Ports().any("listener")
    with socket.create_server(("0.0.0.0", port)):  # noqa: S104 - that is what is tested
        assert not is_free(port)


def test_a_taken_default_is_reported_by_name_and_the_next_free_one_used(taken: int) -> None:
    said: list[str] = []
    chosen = Ports(report=said.append).preferred("chat", taken)
    assert taken < chosen < EPHEMERAL
    assert said == [f"port {taken} of chat is taken: {chosen} is used instead"]


def test_a_free_default_is_used_silently() -> None:
    said: list[str] = []
    free = Ports().any("chat")
    assert Ports(report=said.append).preferred("chat", free) == free
    assert said == []


def test_an_explicit_port_that_is_taken_is_refused_by_name(taken: int) -> None:
    with pytest.raises(PortTakenError, match=f"port {taken}, asked for gateway, is taken"):
        Ports().explicit("gateway", taken)


def test_no_port_is_given_twice_before_its_server_listens() -> None:
    ports = Ports()
    first = ports.any("one")
    assert ports.preferred("two", first) != first
    with pytest.raises(PortTakenError):
        ports.explicit("three", first)


def test_a_port_that_another_process_has_chosen_but_not_yet_opened_is_not_chosen_too() -> None:
    chooser = (
        "import sys; from aula_devstack.servers.ports import Ports; ports = Ports(); "
        "print(ports.any('chat'), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", chooser],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        theirs = int(other.stdout.readline())
        assert is_free(theirs)
        assert Ports().preferred("chat", theirs) != theirs
        other.communicate()
    assert Ports().explicit("chat", theirs) == theirs


def test_a_choice_ends_with_whoever_made_it() -> None:
    ports = Ports()
    port = ports.any("chat")
    with pytest.raises(PortTakenError):
        Ports().explicit("chat", port)
    del ports
    assert Ports().explicit("chat", port) == port
