"""GET /v1/usage: what the caller's tenant has used, and what it cost.

?start=2026-01-01&end=2026-02-01     days (UTC) or times of ISO 8601; the end is not included.
                                     Default: this month until now.
&group_by=key,day                    of tenant, key, model, day; also given several times
&model=chat&key=web                  only these

{"object": "list", "start": "...", "end": "...", "data": [
    {"key": "web", "day": "2026-01-31", "requests": 3, "input_tokens": 90, "output_tokens": 30, ...,
     "cost_usd": "0.0012",           null: no price is known; else of those requests whose price is
     "unknown_cost": 1,              requests without a known price
     "estimated": 0.333333}]}        share of requests whose tokens no backend told
"""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from aiohttp import web
from multidict import MultiMapping

from aiapp_service.gateway import Gateway
from aiapp_service.http.calls import CALL
from aiapp_service.http.errors import bad_request, lacking, not_now
from aiapp_service.pipeline.principal import Principal
from aiapp_service.stores.breaker import StoreDown

if TYPE_CHECKING:
    from aiapp_service.billing.report import Group, Query
    from aiapp_service.stores.postgres import Database

PATH = "/v1/usage"
MOST_DAYS = 366
_PARAMETERS = ("start", "end", "group_by", "model", "key")
_DAY = re.compile(r"2\d{3}-\d{2}-\d{2}", re.ASCII)
_ANY_TIME = re.compile(r"2\d{3}-.*", re.ASCII)


class UsageApi:
    """The handler; without a database it says that usage is not kept."""

    def __init__(self, database: "Database | None", gateway: Gateway) -> None:
        self._database = database
        self._gateway = gateway

    @property
    def _nobody_is_known(self) -> bool:
        """Looked at for each request: who may call changes while this runs."""
        auth = self._gateway.current.config.auth
        return auth.anonymous and auth.jwt is None and auth.api_keys_dir is None

    def add_to(self, app: web.Application) -> None:
        """Register the path."""
        app.router.add_get(PATH, self.usage)

    async def usage(self, request: web.Request) -> web.Response:
        """GET /v1/usage."""
        if self._database is None:
            message = "usage is not kept: this app has no PostgreSQL; give it one with spec.postgres"
            raise lacking(message, "usage_not_kept")
        # Only here, where the driver has been loaded already.
        from aiapp_service.billing.report import NotMigrated, ReportTooLarge, report  # noqa: PLC0415  # for a light start

        query = self._query(request.query, request[CALL].principal)
        try:
            buckets = await report(self._database, query)
        except ReportTooLarge as error:
            raise bad_request(f"{error}: choose a shorter time, or fewer groups", "group_by") from error
        except (StoreDown, NotMigrated) as error:
            raise not_now(f"usage cannot be told now: {error}", "usage_unavailable") from error
        times = {"start": query.start.isoformat(), "end": query.end.isoformat()}
        return web.json_response({"object": "list", **times, "data": buckets})

    def _query(self, given: MultiMapping[str], principal: Principal) -> "Query":
        """What is asked, within what the caller may see.

        Raises:
            ApiError: names the parameter that is wrong.
        """
        from aiapp_service.billing.report import Query  # noqa: PLC0415  # for a light start

        unknown = next((name for name in given if name not in _PARAMETERS), None)
        if unknown is not None:
            raise bad_request(f"{unknown[:50]!r} is no parameter; there are {', '.join(_PARAMETERS)}", unknown[:50])
        end = _time("end", given["end"]) if "end" in given else datetime.now(UTC)
        start = _time("start", given["start"]) if "start" in given else _month(end)
        if start >= end:
            raise bad_request("start has to be before end, which is not included", "start")
        if (end - start).days > MOST_DAYS:
            raise bad_request(f"from start to end are at most {MOST_DAYS} days", "start")
        return Query(
            start,
            end,
            _groups(given),
            # Where nobody has a name there is nobody to keep it from.
            None if self._nobody_is_known else principal.tenant,
            _name(given, "model"),
            _name(given, "key"),
        )


def _time(name: str, text: str) -> datetime:
    try:
        if not _ANY_TIME.fullmatch(text):
            raise ValueError(text)
        if _DAY.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        # A plus sign in a query is a space, unless it is escaped.
        found = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        message = f"{name} has to be a day, 2026-01-31, or a time of ISO 8601, 2026-01-31T12:00:00Z"
        raise bad_request(message, name) from error


def _month(end: datetime) -> datetime:
    """When the month began that ends with `end`."""
    return (end - timedelta(microseconds=1)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _groups(given: MultiMapping[str]) -> "tuple[Group, ...]":
    from aiapp_service.billing.report import Group  # noqa: PLC0415  # for a light start

    known = ", ".join(Group)
    names = [name.strip() for text in given.getall("group_by", []) for name in text.split(",")]
    groups: list[Group] = []
    for name in names:
        if name not in set(Group):
            raise bad_request(f"group_by: {name[:50]!r} is none of {known}", "group_by")
        if Group(name) not in groups:
            groups.append(Group(name))
    return tuple(groups)


def _name(given: MultiMapping[str], name: str) -> str | None:
    text = given.get(name)
    if text is not None and not (text and text.isprintable()):
        raise bad_request(f"{name} has to be a name", name)
    return text
