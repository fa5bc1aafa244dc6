"""All endpoints under their prefixes."""

from fastapi import APIRouter

from aula_accounting.api import credits as credit
from aula_accounting.api import ledger, quotas, rates, reconciliation, streaming, usage

PREFIX = "/api/accounting"
ALIAS_PREFIX = "/api/streaming-sessions"

router = APIRouter(prefix=PREFIX)
for _noun in (credit, streaming, rates, quotas, usage, ledger, reconciliation):
    router.include_router(_noun.router)

alias_router = APIRouter(prefix=ALIAS_PREFIX)
alias_router.include_router(streaming.alias_router)

thin_routes = streaming.thin_routes(PREFIX, ALIAS_PREFIX)
