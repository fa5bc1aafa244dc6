"""The operator's command: `accounting migrate | reconcile | sweep | allocate | rates`."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from aula_accounting.domain.credits import LARGEST_GRANT, Grant
from aula_accounting.domain.rates import LARGEST_RATE, RATE_PLACES, Rate
from aula_accounting.domain.reconciliation import Reconciliation
from aula_accounting.factory import Context, create_context
from aula_accounting.settings import CreditSettings
from aula_common.clock import SystemClock
from aula_common.errors import AulaError
from aula_common.ids import is_id, new_id
from aula_common.metrics import Metrics
from aula_common.settings import PostgresSettings

app = typer.Typer(
    help="Looks after Aula's credits in the database at DATABASE_URL.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)
_OPERATOR = "operator"

T = TypeVar("T")


def _run(work: Callable[[Context], Awaitable[T]], *, at_head: bool = True) -> T:
    async def within_context() -> T:
        async with create_context(
            database=PostgresSettings(),
            rules=CreditSettings(),
            clock=SystemClock(),
            metrics=Metrics(),
        ) as context:
            if at_head:
                await context.check_schema()
            return await work(context)

    return asyncio.run(within_context())


@app.command()
def migrate() -> None:
    """Bring the schema to this version; it may run while the previous version still serves."""
    _run(lambda context: context.migrate(), at_head=False)
    _out.print("The schema is at head.")


@app.command()
def reconcile() -> None:
    """Compare every balance with the replayed ledger; exits with 1 and names what differs."""
    result = _run(lambda context: context.reconciliation.reconcile())
    _print_totals(result)
    if result.balanced:
        _out.print("Everything agrees.")
        return
    for found in result.discrepancies:
        where = [f"user {found.user_id}"]
        if found.allocation_id:
            where.append(f"allocation {found.allocation_id}")
        if found.session_id:
            where.append(f"session {found.session_id}")
        _err.print(
            f"{found.field} differs: {', '.join(where)}: "
            f"expected {found.expected}, stored {found.actual}"
        )
    raise typer.Exit(1)


def _print_totals(result: Reconciliation) -> None:
    totals = result.totals
    table = Table("granted", "remaining", "held", "charged", "lapsed", "revoked")
    table.add_row(
        *(
            str(number)
            for number in (
                totals.granted,
                totals.remaining,
                totals.held,
                totals.charged,
                totals.lapsed,
                totals.revoked,
            )
        )
    )
    _out.print(
        f"{totals.accounts} accounts, {totals.allocations} allocations, "
        f"{totals.reservations} reservations, {totals.entries} ledger entries"
    )
    _out.print(table)


@app.command()
def sweep() -> None:
    """Settle overdue reservations and write off expired allocations, once, now."""
    result = _run(lambda context: context.sweeper.sweep())
    _out.print(
        f"{result.reservations} reservations settled, {result.allocations} allocations expired, "
        f"{result.keys} idempotency keys dropped."
    )


@app.command()
def allocate(
    user_id: str,
    credits: Annotated[int, typer.Argument(min=1, max=LARGEST_GRANT)],  # noqa: A002 - the word that operators type
    *,
    expires_at: Annotated[datetime | None, typer.Option(help="Local time.")] = None,
    note: str | None = None,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same one never gives twice.")
    ] = None,
) -> None:
    """Give a user credits."""
    if not is_id(user_id):
        raise typer.BadParameter("not a user id", param_hint="USER_ID")
    grant = Grant(
        user_ids=(user_id,),
        credits=credits,
        expires_at=expires_at.astimezone() if expires_at else None,
        note=note,
    )
    given = _run(
        lambda context: context.credits.allocate(
            grant, actor_id=_OPERATOR, key=key or new_id("key")
        )
    )
    _out.print(given[0].id)


@app.command()
def rates(
    model_id: Annotated[str | None, typer.Argument(help="One model; all without.")] = None,
    *,
    input_rate: Annotated[
        str | None, typer.Option("--input", help="Credits per 1,000 input tokens, to set.")
    ] = None,
    output_rate: Annotated[
        str | None, typer.Option("--output", help="Credits per 1,000 output tokens, to set.")
    ] = None,
    starts_at: Annotated[
        datetime | None, typer.Option(help="Local time from which it holds; at once without.")
    ] = None,
    history: Annotated[bool, typer.Option(help="Also what was and what is to come.")] = False,
) -> None:
    """Show what models cost; with --input and --output set it for one model first."""
    if input_rate is not None or output_rate is not None or starts_at is not None:
        if model_id is None or input_rate is None or output_rate is None:
            raise typer.BadParameter("a model, --input and --output go together")
        new = Rate(
            model_id=model_id,
            input_rate=_rate_number(input_rate, "--input"),
            output_rate=_rate_number(output_rate, "--output"),
            starts_at=(starts_at or datetime.now()).astimezone(),  # noqa: DTZ005 - local, as typed
        )
        _run(lambda context: context.rates.put([(new, starts_at is None)], actor_id=_OPERATOR))
    found = _run(
        lambda context: (
            context.rates.list_history(model_id=model_id)
            if history or starts_at is not None
            else context.rates.list_current(model_id=model_id)
        )
    )
    for rate in found:
        _out.print(
            f"{rate.model_id} input {rate.input_rate.normalize():f} "
            f"output {rate.output_rate.normalize():f} from {rate.starts_at.isoformat()}"
        )


def _rate_number(text: str, option: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter("not a number", param_hint=option) from None
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or not 0 <= number <= LARGEST_RATE:
        raise typer.BadParameter(f"must be 0 to {LARGEST_RATE}", param_hint=option)
    if -exponent > RATE_PLACES:
        raise typer.BadParameter(f"has more than {RATE_PLACES} decimals", param_hint=option)
    return number


def main() -> None:
    """Run the command; an expected failure is a message and exit code 2, not a traceback."""
    try:
        app()
    except AulaError as error:
        _err.print(error.detail)
        raise SystemExit(2) from None
