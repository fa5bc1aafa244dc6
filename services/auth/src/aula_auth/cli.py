"""Commands for operators: `auth create-admin`, `auth rotate-keys`."""

import asyncio
import sys
from collections.abc import Coroutine
from enum import Enum
from getpass import getpass
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console

from aula_auth.domain.errors import KeyRingUnreadableError, UserExistsError
from aula_auth.domain.user import UserChanges, UserStatus
from aula_auth.factory import open_context
from aula_auth.services.registration import NewUser
from aula_auth.services.signing import KeyRingSigner
from aula_auth.settings import Settings
from aula_common.clock import SystemClock
from aula_common.errors import AulaError
from aula_common.logging import configure_logging
from aula_common.security.principal import Role

Result = TypeVar("Result")

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Commands of auth.")
_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


class Outcome(Enum):
    """What `create-admin` did."""

    CREATED = "created"
    PROMOTED = "promoted"
    EXISTED = "is an administrator already"


@app.command("create-admin")
def create_admin(
    *,
    username: Annotated[str, typer.Option(help="3 to 32 of letters, digits, '.', '_', '-'.")],
    email: Annotated[str, typer.Option()],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    promote: Annotated[
        bool, typer.Option("--promote", help="Make an existing user of that name one.")
    ] = False,
) -> None:
    """Create the first administrator; does nothing if that user is one already."""
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else getpass("Password: ")
    new = NewUser(username=username, email=email, password=password, role=Role.ADMIN)
    outcome = _run(_create_admin(new, promote=promote))
    _out.print(f"{username}: {outcome.value}")


@app.command("rotate-keys")
def rotate_keys() -> None:
    """Let the next signing key sign from now on; the old one verifies until its tokens ended."""
    kid = _run(_rotate_keys())
    if kid is None:
        _err.print("There are no signing keys in the shared-secret mode.")
        raise typer.Exit(1)
    _out.print(f"signing with {kid}")


async def _create_admin(new: NewUser, *, promote: bool) -> Outcome:
    async with open_context(Settings(), clock=SystemClock()) as context:
        existing = await context.registration.find_by_username(new.username)
        if existing is None:
            await context.registration.create(new, actor_id=None)
            return Outcome.CREATED
        if existing.role is Role.ADMIN and existing.is_active:
            return Outcome.EXISTED
        if not promote:
            raise UserExistsError(new.username)
        changes = UserChanges(role=Role.ADMIN, status=UserStatus.ACTIVE)
        await context.users.change_access(existing.id, changes, actor_id=None)
        return Outcome.PROMOTED


async def _rotate_keys() -> str | None:
    async with open_context(Settings(), clock=SystemClock()) as context:
        if not isinstance(context.signer, KeyRingSigner):
            return None
        await context.signer.rotate()
        return context.signer.ring.current.kid


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """The result, or what is wrong in one line and exit code 1."""
    configure_logging("auth", "ERROR", stream=sys.stderr)
    try:
        return asyncio.run(work)
    except AulaError as error:
        message = error.detail
    except KeyRingUnreadableError as error:
        message = str(error)
    except ValidationError as error:
        message = "\n".join(
            f"{'.'.join(map(str, fault['loc'])).upper()}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        )
    _err.print(message, markup=False)
    raise typer.Exit(1)


def main() -> None:
    """The entry point of the `auth` command."""
    app()
