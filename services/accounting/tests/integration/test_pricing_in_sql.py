"""The database's price is the domain's."""

from datetime import UTC, datetime
from decimal import Decimal

from accounting_builders import Bank
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aula_accounting.domain.rates import Rate, Tokens, hold_for, price

_counts = st.one_of(st.integers(0, 5000), st.integers(0, 10**12))
_rates = st.decimals(min_value=0, max_value=10**6, places=6)
_cases = st.lists(st.tuples(_counts, _counts, _counts, _rates, _rates), min_size=20, max_size=60)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_cases)
async def test_price_in_sql_equals_price_in_python(
    bank: Bank, cases: list[tuple[int, int, int, Decimal, Decimal]]
) -> None:
    rows = await bank.query(
        "SELECT price_credits(i, o, u, ir, out_rate) AS price, (6 * price_credits(i, o, u, ir,"
        " out_rate) + 4) / 5 AS hold FROM unnest($1::bigint[], $2::bigint[], $3::bigint[],"
        " $4::numeric[], $5::numeric[]) AS c(i, o, u, ir, out_rate)",
        *(list(column) for column in zip(*cases, strict=True)),
    )
    expected = [
        price(
            Tokens(input=inputs, output=outputs, unsplit=unsplit),
            Rate(
                model_id="m",
                input_rate=input_rate,
                output_rate=output_rate,
                starts_at=datetime(2026, 1, 1, tzinfo=UTC),
            ),
        )
        for inputs, outputs, unsplit, input_rate, output_rate in cases
    ]
    assert [row["price"] for row in rows] == expected
    assert [row["hold"] for row in rows] == [hold_for(estimate) for estimate in expected]
