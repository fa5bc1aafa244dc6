"""The committed OpenAPI document is that of the code."""

from pathlib import Path

from aula_common.web.openapi import render

_COMMITTED = Path(__file__).parents[2] / "openapi.json"
_AGAIN = "python -m aula_common.web.openapi aula_chat > services/chat/openapi.json"


def test_openapi_document_is_up_to_date() -> None:
    assert _COMMITTED.read_text(encoding="utf-8") == render("aula_chat"), f"run: {_AGAIN}"
