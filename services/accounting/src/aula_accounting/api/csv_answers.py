"""Answers as comma-separated values, for those whose `Accept` prefers them."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from pydantic.alias_generators import to_camel

from aula_common.web.schemas import Pagination, ResponseModel

CSV_TYPE = "text/csv"
CSV_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "JSON, or by `Accept: text/csv` the same page as RFC 4180 with a header "
        "line and its number of items in `X-Total-Count`.",
        "content": {CSV_TYPE: {"schema": {"type": "string"}}},
        "headers": {
            "Vary": {"required": True, "schema": {"type": "string", "pattern": "Accept"}},
            "X-Total-Count": {"schema": {"type": "integer", "minimum": 0}},
        },
    }
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would compute such a cell
_QUALITY = "q="


def _prefers_csv(request: Request, response: Response) -> bool:
    response.headers["Vary"] = "Accept"
    qualities = {"*/*": 0.0, "application/json": 0.0, CSV_TYPE: 0.0}
    for part in request.headers.get("accept", "").split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        qualities[kind] = next((_quality(one) for one in parameters if one[:2] == _QUALITY), 1.0)
    return qualities[CSV_TYPE] > max(qualities["application/json"], qualities["*/*"] / 2)


def _quality(parameter: str) -> float:
    try:
        return float(parameter.removeprefix(_QUALITY))
    except ValueError:
        return 0.0


CsvPreferred = Annotated[bool, Depends(_prefers_csv)]


def csv_response(
    columns: Sequence[str], rows: Iterable[ResponseModel], pagination: Pagination
) -> Response:
    """A page of a list: one line for each row, with the columns named as in JSON."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([to_camel(column) for column in columns])
    for row in rows:
        writer.writerow([_cell(getattr(row, column)) for column in columns])
    return Response(
        text.getvalue(),
        media_type=CSV_TYPE,
        headers={"X-Total-Count": str(pagination.total), "Vary": "Accept"},
    )


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
