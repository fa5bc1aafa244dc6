"""Readiness probes: quick, and never raising."""

import http.client
import socket

PROBE_SECONDS = 1.0


def http_status(port: int, path: str) -> int | None:
    """The status that `GET path` answers with on 127.0.0.1; None when nothing answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def exchange(port: int, request: bytes) -> bytes:
    """Send to 127.0.0.1 and return what one read brings; empty when nothing answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), PROBE_SECONDS) as connection:
            connection.sendall(request)
            return connection.recv(4096)
    except OSError:
        return b""
