"""What every application does with every request, over the real server."""

import asyncio
import json
from typing import Annotated, Any

import aiohttp
import pytest
from common_builders import ask, build_app, connected, read_answer, serve
from fastapi import APIRouter
from structlog.testing import capture_logs

from aula_common.errors import NotFoundError, UnavailableError
from aula_common.requests import request_id
from aula_common.security.principal import Principal, Role
from aula_common.testing import TokenMint
from aula_common.web import access
from aula_common.web.schemas import Count, RequestModel

router = APIRouter()


class Note(RequestModel):
    note_text: str
    count: Count = 0
    more: Any = None


@router.post("/notes")
async def write_note(note: Note) -> dict[str, int]:
    return {"length": len(note.note_text)}


@router.get("/notes/{note_id}")
async def read_note(note_id: str) -> None:
    raise NotFoundError


@router.put("/notes/{note_id}")
async def replace_note(note_id: str) -> None:
    raise NotFoundError


@router.get("/seen-id")
async def seen_id() -> dict[str, str | None]:
    return {"id": request_id.get()}


@router.get("/bug")
async def bug() -> None:
    raise ValueError("the password is hunter2")


@router.get("/away")
async def away() -> None:
    raise UnavailableError("the database") from OSError("connection is closed")


@router.get("/people")
async def people(who: Annotated[Principal, access.user(Role.ADMIN)]) -> dict[str, str]:
    return {"id": who.id}


@router.get("/services")
async def services(who: Annotated[Principal, access.service("a:read")]) -> dict[str, str]:
    return {"subject": who.subject}


def post(body: bytes, *headers: str, path: str = "/notes") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: a", "Content-Type: application/json", *headers]
    if not any(header.startswith("Transfer-Encoding") for header in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("given", ["abc", "a.b_c:d-e", "x" * 128])
async def test_a_request_id_is_taken_returned_and_seen_by_the_work(given: str) -> None:
    async with serve(build_app(router)) as port, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}/seen-id"
        async with session.get(url, headers={"X-Request-Id": given}) as response:
            assert response.headers.getall("X-Request-Id") == [given]
            assert await response.json() == {"id": given}


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "ä", "<script>", 'a"b', "a\tb"])
async def test_a_request_id_that_is_none_is_replaced(given: str) -> None:
    request = f"GET /seen-id HTTP/1.1\r\nHost: a\r\nX-Request-Id: {given}\r\n\r\n".encode()
    async with serve(build_app(router)) as port:
        status, headers, body = await ask(port, request)
    assert status == 200
    assert headers["x-request-id"].startswith("req_")
    assert json.loads(body) == {"id": headers["x-request-id"]}


async def test_an_unexpected_error_is_a_500_that_tells_nothing_and_a_log_that_tells_all() -> None:
    with capture_logs() as lines:
        async with serve(build_app(router)) as port, aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}/bug"
            async with session.get(url, headers={"X-Request-Id": "abc"}) as response:
                text = await response.text()
                assert response.status == 500
                assert response.content_type == "application/problem+json"
            async with session.get(f"http://127.0.0.1:{port}/health") as response:
                assert response.status == 200
    assert "hunter2" not in text
    assert "Traceback" not in text
    assert json.loads(text) == {
        "type": "urn:aula:error:internal_error",
        "title": "Internal error",
        "status": 500,
        "detail": "Internal error",
        "code": "internal_error",
        "message": "Internal error",
        "requestId": "abc",
    }
    (line,) = [line for line in lines if line["event"] == "unexpected error"]
    assert line["path"] == "/bug"
    assert line["exc_info"]


async def test_what_made_a_dependency_unavailable_is_logged_and_not_told() -> None:
    with capture_logs() as lines:
        async with serve(build_app(router)) as port, aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/away") as response:
                assert response.status == 503
                assert "closed" not in await response.text()
            async with session.get(f"http://127.0.0.1:{port}/notes/1") as response:
                assert response.status == 404
    away, absent = (line for line in lines if line["event"] == "expected error")
    assert away["cause"] == "OSError('connection is closed')"
    assert "cause" not in absent


async def test_metrics_are_by_route_and_not_by_path() -> None:
    async with serve(build_app(router)) as port, aiohttp.ClientSession() as session:
        for path in ("notes/1", "notes/2", "nowhere"):
            async with session.get(f"http://127.0.0.1:{port}/{path}") as response:
                assert response.status == 404
        async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
            text = await response.text()
    labels = 'method="GET",route="/notes/{note_id}",status="404"'
    assert f"aula_http_requests_total{{{labels}}} 2.0" in text
    assert 'route="unmatched"' in text
    assert 'aula_expected_errors_total{code="not_found"}' in text
    assert "notes/1" not in text


async def test_absent_things_and_absent_paths_are_the_same_bytes() -> None:
    async with serve(build_app(router)) as port:
        answers = [
            await ask(port, f"GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: r\r\n\r\n".encode())
            for path in ("/notes/1", "/nowhere", "/notes/1/")
        ]
    assert {status for status, _, _ in answers} == {404}
    assert len({body for _, _, body in answers}) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"noteText": "a"}', 200),
        (b'{"note_text": "a"}', 422),
        (b'{"noteText": "a", "extra": 1}', 422),
        (b'{"noteText": "a", "\\u0000\\ud800evil\\r\\n": 1}', 422),
        (b'{"noteText": "\\u0000"}', 422),
        (b'{"noteText": "\\ud800"}', 422),
        (b'{"noteText": "a", "more": [{"b": "\\udfff"}]}', 422),
        (b'{"noteText": "a", "more": {"b\\ud800": 1}}', 422),
        (b'{"noteText": "\\ud83d\\ude00"}', 200),
        (b'{"noteText": {"$ne": null}}', 422),
        (b'{"noteText": "a", "count": 1.0}', 422),
        (b'{"noteText": "a", "count": true}', 422),
        (b'{"noteText": "a", "count": -1}', 422),
        (b'{"noteText": "a", "count": NaN}', 422),
        (b'{"noteText": "a", "count": Infinity}', 422),
        (b'{"noteText": "a", "count": 9007199254740992}', 422),
        (b'{"noteText": "a", "count": ' + b"9" * 5000 + b"}", 400),
        (b'{"noteText": "a", "more": ' + b"[" * 900 + b"]" * 900 + b"}", 200),
        (b'{"noteText": "a", "more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
        (b"[" * 100_000, 400),
        (b"{", 400),
        (b'"\xff"', 400),
        (b"[]", 422),
        (b"null", 422),
        (b"", 422),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else None,
)
async def test_hostile_bodies_are_refused_in_problem_documents(body: bytes, status: int) -> None:
    async with serve(build_app(router)) as port:
        answered, headers, answer = await ask(port, post(body))
    assert answered == status, answer
    if status != 200:
        assert headers["content-type"] == "application/problem+json"
        document = json.loads(answer)
        assert document["requestId"] == headers["x-request-id"]
        assert len(answer) < 20_000


async def test_a_refusal_names_the_field_and_never_the_input() -> None:
    secret = "hunter2" * 10
    async with serve(build_app(router)) as port:
        _, _, answer = await ask(port, post(json.dumps({"noteText": [secret]}).encode()))
    document = json.loads(answer)
    assert document["errors"] == [
        {"field": "noteText", "message": "Input should be a valid string"}
    ]
    assert secret not in answer.decode()


async def test_many_bad_fields_do_not_make_a_large_answer() -> None:
    body = json.dumps({f"field{n}": n for n in range(20_000)}).encode()
    async with serve(build_app(router)) as port:
        status, _, answer = await ask(port, post(body))
    assert status == 422
    assert len(json.loads(answer)["errors"]) == 50


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def test_a_declared_length_above_the_limit_is_refused_before_the_body() -> None:
    async with serve(build_app(router, max_body_bytes=2048)) as port:
        request = post(b"", "X-Request-Id: r").replace(b"Length: 0", b"Length: 2049")
        status, _, body = await ask(port, request)
    assert status == 413
    assert json.loads(body)["code"] == "payload_too_large"


async def test_a_chunked_body_is_refused_as_soon_as_it_passes_the_limit() -> None:
    async with serve(build_app(router, max_body_bytes=2048)) as port:
        chunked = post(b"", "Transfer-Encoding: chunked")
        status, _, body = await ask(port, chunked + chunk(b" " * 1500) + chunk(b" " * 1500))
        assert (status, json.loads(body)["limit"]) == (413, 2048)
        whole = chunked + chunk(b'{"noteText":') + chunk(b'"abc"}') + b"0\r\n\r\n"
        assert (await ask(port, whole))[0] == 200


async def test_a_body_that_dawdles_is_refused_and_its_sender_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aula_common.web.protocol._LINGER_SECONDS", 0.1)
    app = build_app(router)
    for middleware in app.user_middleware:
        if middleware.cls.__name__ == "BodyLimit":  # type: ignore[attr-defined]  # a class it is
            middleware.kwargs["deadline"] = 0.1
    unfinished = post(b"").replace(b"Length: 0", b"Length: 100")
    async with serve(app) as port, asyncio.timeout(5), connected(port, unfinished) as reader:
        status, _, body = await read_answer(reader)
        assert (status, json.loads(body)["code"]) == (408, "request_timeout")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)


async def test_a_head_that_dawdles_or_has_no_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aula_common.web.protocol._HEAD_SECONDS", 0.1)
    async with serve(build_app(router)) as port, asyncio.timeout(5):
        for start in (b"", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: "):
            async with connected(port, start) as reader:
                with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                    await reader.readexactly(1)
        head = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n"
        async with connected(port, head) as reader:
            assert (await reader.readline()).startswith(b"HTTP/1.1 400")


async def test_a_method_that_a_path_lacks_is_answered_with_all_that_it_has() -> None:
    async with serve(build_app(router)) as port:
        for method, path, allowed in (
            ("DELETE", "/notes/1", "GET, PUT"),  # of two routes
            ("OPTIONS", "/notes/1", "GET, PUT"),
            ("GET", "/notes", "POST"),
            ("POST", "/health", "GET"),
        ):
            request = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
            status, headers, _ = await ask(port, request.encode())
            assert (status, headers["allow"]) == (405, allowed), (method, path)


async def test_a_connection_is_kept_between_requests() -> None:
    three = post(b'{"noteText": "a"}') * 3
    async with serve(build_app(router)) as port, connected(port, three) as reader:
        for _ in range(3):
            assert (await read_answer(reader))[0] == 200


async def test_roles_and_scopes_open_what_they_may_and_nothing_else() -> None:
    mint = TokenMint()
    admin, student = mint.user("usr_1", role=Role.ADMIN), mint.user("usr_2")
    named = mint.service("chat", audience="common", scopes=["a:read"])
    other = mint.service("chat", audience="common", scopes=["b:read"])
    cases = [
        ("/people", None, 401), ("/people", admin, 200), ("/people", student, 403),
        ("/people", named, 403), ("/services", None, 401), ("/services", named, 200),
        ("/services", other, 403), ("/services", admin, 403), ("/api/version", student, 200),
        ("/api/version", None, 401),
    ]  # fmt: skip
    async with serve(build_app(router, mint=mint)) as port, aiohttp.ClientSession() as session:
        for path, token, status in cases:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with session.get(f"http://127.0.0.1:{port}{path}", headers=headers) as response:
                assert response.status == status, path


async def test_whom_a_caller_acts_for_is_believed_beside_a_service_token_only() -> None:
    mint = TokenMint()
    service = mint.service("chat", audience="common", scopes=["a:read"])
    admin = mint.user("usr_1", role=Role.ADMIN)
    async with serve(build_app(router, mint=mint)) as port, aiohttp.ClientSession() as session:

        async def ask_as(path: str, token: str, subject: str) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {token}", "X-On-Behalf-Of": subject}
            async with session.get(f"http://127.0.0.1:{port}{path}", headers=headers) as response:
                return response.status, await response.json(content_type=None)

        assert await ask_as("/services", service, "usr_9") == (200, {"subject": "usr_9"})
        assert await ask_as("/people", admin, "usr_9") == (200, {"id": "usr_1"})
        assert (await ask_as("/services", service, "../usr"))[0] == 400


async def test_an_origin_is_allowed_by_name_and_never_reflected() -> None:
    app = build_app(router, cors_origin="https://school.example")
    async with serve(app) as port, aiohttp.ClientSession() as session:
        for origin, allowed in (
            ("https://school.example", "https://school.example"),
            ("https://school.example.attacker.example", None),
            ("null", None),
        ):
            url = f"http://127.0.0.1:{port}/seen-id"
            async with session.get(url, headers={"Origin": origin}) as response:
                assert response.headers.get("Access-Control-Allow-Origin") == allowed
