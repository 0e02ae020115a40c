"""Sums over the ledger, for /v1/usage."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import sql

from aiapp_service.stores.postgres import Database

# PostgreSQL gives up a little before we do: a report that takes too long is not taken for a server that is down.
STATEMENT_SECONDS = 4.0
DEADLINE_SECONDS = 5.0
MOST_BUCKETS = 10_000


class Group(StrEnum):
    """What usage may be told by. Days are those of UTC."""

    TENANT = "tenant"
    KEY = "key"
    MODEL = "model"
    DAY = "day"


_BY = {
    Group.TENANT: sql.SQL("tenant"),
    Group.KEY: sql.SQL("api_key"),
    Group.MODEL: sql.SQL("model"),
    Group.DAY: sql.SQL("(created_at AT TIME ZONE 'UTC')::date"),
}
_TOKENS = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
)
_SUMS = sql.SQL(
    "count(*), count(*) FILTER (WHERE estimated), count(*) FILTER (WHERE cost_usd IS NULL), sum(cost_usd)::text, {}"
).format(sql.SQL(", ").join(sql.SQL("sum({})::bigint").format(sql.Identifier(name)) for name in _TOKENS))


class ReportTooLarge(Exception):
    """It has too many buckets, or takes too long: a shorter time, or fewer groups, would do."""


class NotMigrated(Exception):
    """The database does not have the schema of this version yet."""


@dataclass(frozen=True)
class Query:
    """Which rows: from `start` to before `end`. What is None is not looked at."""

    start: datetime
    end: datetime
    group_by: tuple[Group, ...] = ()
    tenant: str | None = None
    model: str | None = None
    key: str | None = None


async def report(database: Database, query: Query) -> list[dict[str, Any]]:
    """Buckets in the order of their groups, as they stand in the answer of /v1/usage.

    Raises:
        StoreDown: PostgreSQL does not answer.
        ReportTooLarge, NotMigrated: it cannot tell.
    """
    statement, values = _statement(query)

    async def ask(connection: psycopg.AsyncConnection) -> list[tuple[Any, ...]]:
        try:
            await connection.execute(
                "SELECT set_config('statement_timeout', %s, true)", (f"{STATEMENT_SECONDS * 1000:.0f}",)
            )
            return await (await connection.execute(statement, values)).fetchall()
        except psycopg.errors.QueryCanceled as error:
            raise ReportTooLarge("it takes too long") from error
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            raise NotMigrated("the database is not migrated yet") from error

    rows = await database.run(ask, DEADLINE_SECONDS)
    if len(rows) > MOST_BUCKETS:
        raise ReportTooLarge(f"it has more than {MOST_BUCKETS} buckets")
    return [_bucket(query.group_by, row) for row in rows]


def _statement(query: Query) -> tuple[sql.Composed, list[Any]]:
    conditions: list[sql.Composable] = [sql.SQL("created_at >= %s AND created_at < %s")]
    values: list[Any] = [query.start, query.end]
    for column, value in (("tenant", query.tenant), ("model", query.model), ("api_key", query.key)):
        if value is not None:
            conditions.append(sql.SQL("{} = %s").format(sql.Identifier(column)))
            values.append(value)
    groups = [_BY[group] for group in query.group_by]
    statement = sql.SQL("SELECT {} FROM usage WHERE {}").format(
        sql.SQL(", ").join([*groups, _SUMS]), sql.SQL(" AND ").join(conditions)
    )
    if groups:
        by = sql.SQL(", ").join(groups)
        statement += sql.SQL(" GROUP BY {} ORDER BY {} LIMIT {}").format(by, by, sql.Literal(MOST_BUCKETS + 1))
    return statement, values


def _bucket(group_by: tuple[Group, ...], row: tuple[Any, ...]) -> dict[str, Any]:
    by, (requests, estimated, unknown, cost, *tokens) = row[: len(group_by)], row[len(group_by) :]
    named = {
        str(group): value.isoformat() if isinstance(value, date) else value
        for group, value in zip(group_by, by, strict=True)
    }
    return {
        **named,
        "requests": requests,
        **{name: count or 0 for name, count in zip(_TOKENS, tokens, strict=True)},
        "cost_usd": _plain(cost),
        "unknown_cost": unknown,
        "estimated": round(estimated / requests, 6) if requests else 0.0,
    }


def _plain(cost: str | None) -> str | None:
    """Without the zeros at its end; None where no request has a known price."""
    return None if cost is None else cost.rstrip("0").rstrip(".") if "." in cost else cost
