"""The committed OpenAPI document is the application's."""

from pathlib import Path

from aula_common.web.openapi import render

COMMITTED = Path(__file__).parents[2] / "openapi.json"


def test_committed_document_is_up_to_date() -> None:
    assert COMMITTED.read_text() == render("aula_auth"), (
        "run: python -m aula_common.web.openapi aula_auth > services/auth/openapi.json"
    )
