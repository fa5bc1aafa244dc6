"""A small HTTP server that stands where auth stands: keys, service tokens, revocations."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from aula_common.testing import TokenMint

CLIENT = "chat"
CLIENT_SECRET = "the-client-secret-of-chat"
SCOPES = {
    "accounting": ("streaming:write", "rates:read", "credits:read"),
    "auth": ("users:read", "revocations:read"),
}


@contextmanager
def signing_authority(mint: TokenMint) -> Iterator[str]:
    """The address of a server that publishes the mint's key and grants chat its tokens."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.startswith("/internal/revocations"):
                self._answer(200, {"revocations": [], "next": "0"})
            elif self.path == "/api/auth/.well-known/jwks.json":
                self._answer(200, mint.jwks())
            else:
                self._answer(404, {})

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {key: values[0] for key, values in parse_qs(raw).items()}
            if form.get("client_id") != CLIENT or form.get("client_secret") != CLIENT_SECRET:
                self._answer(401, {"error": "invalid_client"})
                return
            audience = form["audience"]
            token = mint.service(CLIENT, audience=audience, scopes=SCOPES[audience])
            self._answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": 900})

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

        def _answer(self, status: int, body: object) -> None:
            encoded = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
