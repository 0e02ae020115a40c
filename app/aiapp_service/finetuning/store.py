"""Fine-tuning jobs and the models that came of them, in PostgreSQL. Each method raises StoreDown."""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from aiapp_service.billing.row import UsageRow
from aiapp_service.billing.writer import insert
from aiapp_service.finetuning.record import COLUMNS, TuningJob
from aiapp_service.finetuning.request import Asked
from aiapp_service.llm.tuned import Tuned
from aiapp_service.pipeline.principal import Principal, dumped
from aiapp_service.stores.postgres import Database
from aiapp_service.stores.schema import run

FIELDS = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
_INSERT = sql.SQL(
    "INSERT INTO fine_tuning_jobs (id, tenant, principal, provider, model, request) VALUES (%s, %s, %s, %s, %s, %s)"
    " RETURNING {}"
).format(FIELDS)
_GET = sql.SQL("SELECT {} FROM fine_tuning_jobs WHERE id = %s AND tenant = %s").format(FIELDS)
_PAGE = sql.SQL(
    "SELECT {} FROM fine_tuning_jobs WHERE tenant = %(tenant)s AND (%(after)s::text IS NULL OR (created_at, id) <"
    " (SELECT created_at, id FROM fine_tuning_jobs WHERE id = %(after)s AND tenant = %(tenant)s))"
    " ORDER BY created_at DESC, id DESC LIMIT %(limit)s"
).format(FIELDS)
_WANT = sql.SQL(
    "UPDATE fine_tuning_jobs SET wanted = %s WHERE id = %s AND tenant = %s"
    " AND status NOT IN ('succeeded', 'failed', 'cancelled') RETURNING {}"
).format(FIELDS)
_TAKE = sql.SQL(
    "UPDATE fine_tuning_jobs SET holder = %s, held_until = now() + make_interval(secs => %s) WHERE id = %s"
    " AND status NOT IN ('succeeded', 'failed', 'cancelled') AND (held_until IS NULL OR held_until < now())"
    " RETURNING {}"
).format(FIELDS)
_OPEN = "SELECT 1 FROM fine_tuning_jobs WHERE id = %s AND status NOT IN ('succeeded', 'failed', 'cancelled')"
_LOST = (
    "SELECT id FROM fine_tuning_jobs WHERE status NOT IN ('succeeded', 'failed', 'cancelled')"
    " AND coalesce(held_until, created_at) < now() - make_interval(secs => %s) LIMIT 1000"
)
_MODEL = (
    "INSERT INTO tuned_models (name, tenant, base, provider, model, job) VALUES (%s, %s, %s, %s, %s, %s)"
    " ON CONFLICT DO NOTHING"
)
_MODELS = "SELECT name, tenant, base, provider, model FROM tuned_models ORDER BY created_at, name LIMIT 10000"


class Taken(Exception):
    """Somebody else works on the job now."""


class TuningStore:
    """The tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, principal: Principal, name: str, asked: Asked) -> TuningJob:
        """A new job."""
        values = (name, principal.tenant, Jsonb(dumped(principal)), asked.provider, asked.model, Jsonb(asked.request))
        return (await self._jobs(_INSERT, values))[0]

    async def get(self, tenant: str, name: str) -> TuningJob | None:
        """The tenant's job of that name."""
        return next(iter(await self._jobs(_GET, (name, tenant))), None)

    async def page(self, tenant: str, after: str | None, limit: int) -> list[TuningJob]:
        """The tenant's jobs, the latest first; one more than `limit` where there are more."""
        return await self._jobs(_PAGE, {"tenant": tenant, "after": after, "limit": limit + 1})

    async def want(self, tenant: str, name: str, wanted: str) -> TuningJob | None:
        """Have the provider told to cancel, pause or resume; None where the job has ended, or is not there."""
        return next(iter(await self._jobs(_WANT, (wanted, name, tenant))), None)

    async def take(self, name: str, token: str, seconds: float) -> TuningJob | None:
        """Hold the job for so long; None: it has ended, or is held."""
        return next(iter(await self._jobs(_TAKE, (token, seconds, name))), None)

    async def is_open(self, name: str) -> bool:
        """Whether the job is there and has not ended."""

        async def ask(connection: psycopg.AsyncConnection) -> bool:
            return await (await connection.execute(_OPEN, (name,))).fetchone() is not None

        return await run(self._database, ask)

    async def change(
        self,
        name: str,
        token: str,
        values: Mapping[str, Any],
        *,
        finished: bool = False,
        model: Tuned | None = None,
        row: UsageRow | None = None,
    ) -> TuningJob:
        """Set columns; the model that came of it and what it took are noted in the same transaction.

        Raises:
            Taken: it is not held by `token`.
        """
        settings: list[sql.Composable] = [sql.SQL("{} = %s").format(sql.Identifier(column)) for column in values]
        if finished:
            settings.append(sql.SQL("finished_at = now()"))
        statement = sql.SQL("UPDATE fine_tuning_jobs SET {} WHERE id = {} AND holder = {} RETURNING {}").format(
            sql.SQL(", ").join(settings), name, token, FIELDS
        )
        given = [Jsonb(value) if isinstance(value, (dict, list)) else value for value in values.values()]

        async def write(connection: psycopg.AsyncConnection) -> TuningJob:
            async with connection.cursor(row_factory=class_row(TuningJob)) as cursor:
                await cursor.execute(statement, given)
                changed = await cursor.fetchone()
                if changed is None:
                    raise Taken
                if model is not None:
                    await cursor.execute(
                        _MODEL, (model.name, model.tenant, model.base, model.provider, model.model, name)
                    )
                if row is not None:
                    await insert(connection, [row])
                return changed

        return await run(self._database, write)

    async def told(self, wanted: str, name: str) -> None:
        """The provider has been told what was wanted, unless something else is wanted by now."""

        async def write(connection: psycopg.AsyncConnection) -> None:
            statement = "UPDATE fine_tuning_jobs SET wanted = NULL WHERE id = %s AND wanted = %s"
            await connection.execute(statement, (name, wanted))

        await run(self._database, write)

    async def note(self, table: str, name: str, documents: Sequence[Mapping[str, Any]]) -> None:
        """Keep events or checkpoints, in the order of time; those that are there stay as they are."""
        statement = sql.SQL(
            "INSERT INTO {} (job, id, created_at, document) VALUES (%s, %s, to_timestamp(%s), %s)"
            " ON CONFLICT DO NOTHING"
        ).format(sql.Identifier(table))

        async def write(connection: psycopg.AsyncConnection) -> None:
            rows = [(name, str(one["id"]), one.get("created_at", 0), Jsonb(dict(one))) for one in documents]
            async with connection.cursor() as cursor:
                await cursor.executemany(statement, rows)

        if documents:
            await run(self._database, write)

    async def noted(self, table: str, name: str, after: str | None, limit: int) -> list[dict[str, Any]]:
        """Events or checkpoints, the latest first; one more than `limit` where there are more."""
        statement = sql.SQL(
            "SELECT document FROM {0} WHERE job = %(job)s AND (%(after)s::text IS NULL OR number <"
            " (SELECT number FROM {0} WHERE job = %(job)s AND id = %(after)s)) ORDER BY number DESC LIMIT %(limit)s"
        ).format(sql.Identifier(table))

        async def ask(connection: psycopg.AsyncConnection) -> list[dict[str, Any]]:
            cursor = await connection.execute(statement, {"job": name, "after": after, "limit": limit + 1})
            return [row[0] for row in await cursor.fetchall()]

        return await run(self._database, ask)

    async def lost(self, seconds: float) -> list[str]:
        """Jobs that nobody has looked at for so many seconds."""

        async def ask(connection: psycopg.AsyncConnection) -> list[str]:
            return [str(row[0]) for row in await (await connection.execute(_LOST, (seconds,))).fetchall()]

        return await run(self._database, ask)

    async def models(self) -> list[Tuned]:
        """All that came of it."""

        async def ask(connection: psycopg.AsyncConnection) -> list[Tuned]:
            return [Tuned(*row) for row in await (await connection.execute(_MODELS)).fetchall()]

        return await run(self._database, ask)

    async def _jobs(self, statement: sql.Composed, values: Sequence[Any] | dict[str, Any]) -> list[TuningJob]:
        async def ask(connection: psycopg.AsyncConnection) -> list[TuningJob]:
            async with connection.cursor(row_factory=class_row(TuningJob)) as cursor:
                await cursor.execute(statement, values)
                return await cursor.fetchall()

        return await run(self._database, ask)
