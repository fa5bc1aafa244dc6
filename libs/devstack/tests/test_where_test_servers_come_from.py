"""Tests take their servers from the environment, from Docker, else embedded ones."""

import threading
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer

import pytest

from aula_devstack.testing import docker
from aula_devstack.testing.servers import TestServers


class Pong(StreamRequestHandler):
    """Answers as a Docker engine does."""

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nOK")


def test_a_server_of_the_environment_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_REDIS_URL", "redis://elsewhere:6379/0")
    servers = TestServers()
    try:
        assert servers.redis() == "redis://elsewhere:6379/0"
    finally:
        servers.close()


def test_an_embedded_server_is_started_once_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TEST_REDIS_URL", raising=False)
    monkeypatch.setattr(docker, "engine_answers", lambda: False)
    servers = TestServers()
    try:
        url = servers.redis()
        assert servers.redis() == url
        assert "@127.0.0.1:" in url
        home = servers._home
        assert (home / "redis").is_dir()
    finally:
        servers.close()
    assert not home.exists()


def test_without_an_engine_docker_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'none.sock'}")
    assert docker.engine_answers.__wrapped__() is False


def test_an_engine_that_answers_its_ping_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with ThreadingUnixStreamServer(str(path), Pong) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            assert docker.engine_answers.__wrapped__() is True
        finally:
            server.shutdown()
            thread.join()
