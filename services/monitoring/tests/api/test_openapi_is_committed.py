"""The committed document is the application's own."""

from pathlib import Path

from aula_common.web.openapi import render

COMMITTED = Path(__file__).parents[2] / "openapi.json"


def test_the_committed_document_is_what_the_application_says() -> None:
    assert COMMITTED.read_text() == render("aula_monitoring"), (
        "run: python -m aula_common.web.openapi aula_monitoring > services/monitoring/openapi.json"
    )
