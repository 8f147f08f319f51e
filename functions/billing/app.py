"""What an account was granted, used and has left, and its requests one by one. Reads only.

GET /v1/billing/{subscription,usage,credit_grants}   also under /v1/dashboard and /dashboard, where
                                                     older clients look for them
GET /v1/billing/requests                             Tollgate's own

A key sees the figures of its whole account, also while that is suspended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import product
from typing import Annotated

from mangum import Mangum
from tollgate.core.billing import Exchange, describe_grants, describe_subscription, describe_usage
from tollgate.core.days import Days, read_days
from tollgate.ledger.model import Key
from tollgate.ledger.statements import DynamoStatements
from tollgate.settings import Settings
from tollgate.web.app import answer_json
from tollgate.web.lean_fastapi import Depends, Query, Request, Response
from tollgate.web.metrics import make_metrics_log
from tollgate.web.readiness import make_ready
from tollgate.web.record_list import LIMIT_DEFAULT, LIMIT_MAX, describe_page
from tollgate.web.services import Services, make_services, utc_now
from tollgate.web.typed_app import create_typed_app

settings = Settings.read()
app = create_typed_app(
    "Tollgate billing",
    cors_origin=settings.cors_origin,
    log_metrics=make_metrics_log("billing", settings),
)
PREFIXES = ("/v1/billing", "/v1/dashboard/billing", "/dashboard/billing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the routes read from. `today`: by UTC."""

    services: Services
    statements: DynamoStatements
    today: Callable[[], date]

    async def aclose(self) -> None:
        """Close all connections."""
        await self.services.aclose()

    async def exchange(self) -> Exchange:
        """Return what a point is worth by the catalog in force."""
        return Exchange((await self.services.catalog.current()).points_per_usd)


@cache
def get_desk() -> Desk:
    """Return the process's desk, made at first use."""
    services = make_services(settings)
    return Desk(
        services=services,
        statements=DynamoStatements(services.client, settings.table),
        today=lambda: utc_now().date(),
    )


async def find_desk() -> Desk:
    """Return the desk; tests override this dependency.

    A coroutine, since FastAPI gives a plain function a thread, which takes longer than it does.
    """
    return get_desk()


AtDesk = Annotated[Desk, Depends(find_desk)]


async def get_key(request: Request, desk: AtDesk) -> Key:
    """Return the caller's key, whose account is shown.

    Raises: AuthenticationError.
    """
    return await desk.services.authenticator.authenticate(request.headers.get("authorization"))


async def get_days(
    key: Annotated[Key, Depends(get_key)],  # noqa: ARG001 - who calls is asked before what for
    desk: AtDesk,
    start_date: str | None = None,
    end_date: str | None = None,
) -> Days:
    """Return the days asked for.

    Raises: InvalidRequestError.
    """
    return read_days(start_date, end_date, today=desk.today())


OfKey = Annotated[Key, Depends(get_key)]
InDays = Annotated[Days, Depends(get_days)]


async def show_subscription(key: OfKey, desk: AtDesk) -> Response:
    """Show all that was ever granted, what is left, and when the key expires."""
    funds = await asyncio.to_thread(desk.statements.find_funds, key.account_id)
    until = int(key.expires_at.timestamp()) if key.expires_at else 0
    return answer_json(describe_subscription(funds, await desk.exchange(), access_until=until))


async def show_usage(key: OfKey, desk: AtDesk, days: InDays) -> Response:
    """Show what each model cost on each day.

    Raises: AnswerTooLargeError: more days and models than one answer of Lambda's holds.
    """
    costs = await asyncio.to_thread(
        desk.statements.list_costs, key.account_id, days, today=desk.today()
    )
    return answer_json(describe_usage(costs, await desk.exchange()))


async def show_grants(key: OfKey, desk: AtDesk) -> Response:
    """Show the top-ups and how much of each is used."""
    funds, grants = await asyncio.to_thread(desk.statements.list_grants, key.account_id)
    return answer_json(describe_grants(funds, grants, await desk.exchange()))


@app.get("/v1/billing/requests")
async def list_requests(
    key: OfKey,
    desk: AtDesk,
    days: InDays,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    after: str | None = None,
) -> Response:
    """List the account's requests, newest first, a page at a time."""
    page = await asyncio.to_thread(
        desk.statements.list_records, key.account_id, days, limit=limit, after=after
    )
    return answer_json(describe_page(page))


READS: Mapping[str, Callable[..., Awaitable[Response]]] = {
    "subscription": show_subscription,
    "usage": show_usage,
    "credit_grants": show_grants,
}
for prefix, (name, read) in product(PREFIXES, READS.items()):
    app.add_api_route(f"{prefix}/{name}", read)

make_ready(settings, get_desk)
handler = Mangum(app, lifespan="off")
