"""Vector stores, their files and batches of files, as PostgreSQL has them. Every query names the tenant."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from aiapp_service.retrieval.chunking import Strategy
from aiapp_service.retrieval.table import Table

_STORE = sql.SQL(
    "s.id, s.name, s.metadata, s.embedding_model, s.expires_days, s.created_at, s.last_active_at,"
    " s.expires_days IS NOT NULL AND s.last_active_at + make_interval(days => s.expires_days) < now() AS expired"
)
_COUNTS = sql.SQL(
    "count(*) FILTER (WHERE f.status = 'in_progress'), count(*) FILTER (WHERE f.status = 'completed'),"
    " count(*) FILTER (WHERE f.status = 'failed'), count(*) FILTER (WHERE f.status = 'cancelled'), count(f.*)"
)
# The columns of a StoreFile.
FILE = (
    *("store_id", "file_id", "filename", "status", "error_code", "error_message", "usage_bytes", "attributes"),
    *("chunk_tokens", "overlap_tokens", "created_at", "ingestion"),
)
_FILE = sql.SQL(", ").join(map(sql.Identifier, FILE))


@dataclass(frozen=True)
class Counts:
    """Files by status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0


@dataclass(frozen=True)
class Store:
    """One vector store. It keeps the embedding model that it was made with: vectors of two cannot be compared."""

    id: str
    name: str
    metadata: dict[str, str]
    embedding_model: str
    expires_days: int | None
    created_at: datetime
    last_active_at: datetime
    expired: bool


@dataclass(frozen=True)
class StoreFile:
    """A file in a vector store."""

    store: str
    file: str
    filename: str
    status: str
    error_code: str | None
    error_message: str | None
    usage_bytes: int
    attributes: dict[str, Any]
    chunk_tokens: int
    overlap_tokens: int
    created_at: datetime
    ingestion: str

    @property
    def strategy(self) -> Strategy:
        """How it is cut."""
        return Strategy(self.chunk_tokens, self.overlap_tokens)


@dataclass(frozen=True)
class NewFile:
    """A file that is to be put into a store."""

    file: str
    filename: str
    attributes: dict[str, Any]
    strategy: Strategy


@dataclass(frozen=True)
class Page:
    """Which part of a list is wanted."""

    limit: int = 20
    newest_first: bool = True
    after: str | None = None
    before: str | None = None


class StoreRows(Table):
    """Stores. Each method raises StoreDown where PostgreSQL does not answer, or has no such table yet."""

    async def create(
        self, tenant: str, name: str, metadata: dict[str, str], model: str, expires_days: int | None
    ) -> Store:
        """Make one that is empty."""
        statement = sql.SQL(
            "INSERT INTO vector_stores AS s (id, tenant, name, metadata, embedding_model, expires_days)"
            " VALUES (%s, %s, %s, %s, %s, %s) RETURNING {}"
        ).format(_STORE)
        rows = await self.run(statement, _new("vs"), tenant, name, Jsonb(metadata), model, expires_days)
        return Store(*rows[0])

    async def get(self, tenant: str, id_: str) -> Store | None:
        """One of the tenant's."""
        statement = sql.SQL("SELECT {} FROM vector_stores s WHERE id = %s AND tenant = %s").format(_STORE)
        rows = await self.run(statement, id_, tenant)
        return Store(*rows[0]) if rows else None

    async def page(self, tenant: str, page: Page) -> list[Store]:
        """One more than the page has, if there are as many."""
        where, order, values = _paging("vector_stores", "id", page, {"tenant": tenant})
        statement = sql.SQL("SELECT {} FROM vector_stores s WHERE tenant = %s{} ORDER BY {} LIMIT %s")
        rows = await self.run(statement.format(_STORE, where, order), tenant, *values, page.limit + 1)
        return [Store(*row) for row in rows]

    async def modify(self, tenant: str, id_: str, changes: dict[str, Any]) -> Store | None:
        """Set `name`, `metadata` or `expires_days`, which is activity, too."""
        wanted = {key: Jsonb(value) if key == "metadata" else value for key, value in changes.items()}
        parts = [sql.SQL("{} = %s").format(sql.Identifier(key)) for key in wanted]
        statement = sql.SQL("UPDATE vector_stores s SET {} WHERE id = %s AND tenant = %s RETURNING {}")
        assigned = sql.SQL(", ").join([*parts, sql.SQL("last_active_at = now()")])
        rows = await self.run(statement.format(assigned, _STORE), *wanted.values(), id_, tenant)
        return Store(*rows[0]) if rows else None

    async def touch(self, tenant: str, id_: str) -> None:
        """Note that it is in use, once a minute."""
        statement = sql.SQL(
            "UPDATE vector_stores SET last_active_at = now()"
            " WHERE id = %s AND tenant = %s AND last_active_at < now() - interval '1 minute'"
        )
        await self.run(statement, id_, tenant)

    async def expired(self, limit: int) -> list[tuple[str, str]]:
        """Tenants and names of stores that have run out and still hold files."""
        statement = sql.SQL(
            "SELECT s.tenant, s.id FROM vector_stores s WHERE s.expires_days IS NOT NULL"
            " AND s.last_active_at + make_interval(days => s.expires_days) < now()"
            " AND EXISTS (SELECT FROM vector_store_files f WHERE f.store_id = s.id) LIMIT %s"
        )
        return [(tenant, id_) for tenant, id_ in await self.run(statement, limit)]

    async def counts(self, tenant: str, stores: Sequence[str]) -> dict[str, tuple[Counts, int]]:
        """Files by status and bytes of each of the stores."""
        statement = sql.SQL(
            "SELECT f.store_id, {}, coalesce(sum(f.usage_bytes), 0)::bigint FROM vector_store_files f"
            " WHERE f.store_id = ANY(%s) AND f.tenant = %s GROUP BY f.store_id"
        ).format(_COUNTS)
        rows = await self.run(statement, list(stores), tenant)
        return {row[0]: (Counts(*row[1:6]), row[6]) for row in rows}


class FileRows(Table):
    """Files in stores. Each method raises StoreDown where PostgreSQL does not answer, or has no such table yet."""

    async def add(
        self, tenant: str, store: str, files: Sequence[NewFile], batch: str | None = None, key: str = ""
    ) -> list[StoreFile]:
        """Put files into a store, to be read; those that are there already stay as they are, and are not given.

        `key` names the API key that pays.
        """
        statement = sql.SQL(
            "INSERT INTO vector_store_files (store_id, file_id, tenant, api_key, ingestion, batch_id, filename,"
            " status, attributes, chunk_tokens, overlap_tokens)"
            " SELECT %s, g.file, %s, %s, g.ingestion, %s, g.filename, 'in_progress', g.attributes, g.size, g.overlap"
            " FROM unnest(%s::text[], %s::text[], %s::text[], %s::jsonb[], %s::int[], %s::int[])"
            " AS g(file, ingestion, filename, attributes, size, overlap)"
            " ON CONFLICT (store_id, file_id) DO NOTHING RETURNING {}"
        ).format(_FILE)
        rows = await self.run(
            statement,
            store,
            tenant,
            key,
            batch,
            [file.file for file in files],
            [secrets.token_hex(12) for _ in files],
            [file.filename for file in files],
            [Jsonb(file.attributes) for file in files],
            [file.strategy.size for file in files],
            [file.strategy.overlap for file in files],
        )
        return [StoreFile(*row) for row in rows]

    async def get(self, tenant: str, store: str, file: str) -> StoreFile | None:
        """One of a store's."""
        statement = sql.SQL(
            "SELECT {} FROM vector_store_files WHERE store_id = %s AND file_id = %s AND tenant = %s"
        ).format(_FILE)
        rows = await self.run(statement, store, file, tenant)
        return StoreFile(*rows[0]) if rows else None

    async def page(
        self, tenant: str, store: str, page: Page, status: str | None = None, batch: str | None = None
    ) -> list[StoreFile]:
        """One more than the page has, if there are as many."""
        fixed = {"store_id": store, "tenant": tenant}
        fixed |= {} if status is None else {"status": status}
        fixed |= {} if batch is None else {"batch_id": batch}
        where, order, values = _paging("vector_store_files", "file_id", page, {"store_id": store, "tenant": tenant})
        conditions = sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(key)) for key in fixed)
        statement = sql.SQL("SELECT {} FROM vector_store_files WHERE {}{} ORDER BY {} LIMIT %s")
        composed = statement.format(_FILE, conditions, where, order)
        rows = await self.run(composed, *fixed.values(), *values, page.limit + 1)
        return [StoreFile(*row) for row in rows]

    async def end(self, file: StoreFile, status: str, code: str | None = None, message: str | None = None) -> None:
        """The reading of a file has come to nothing; another reading of it is let be."""
        statement = sql.SQL(
            "UPDATE vector_store_files SET status = %s, error_code = %s, error_message = %s"
            " WHERE store_id = %s AND file_id = %s AND ingestion = %s AND status = 'in_progress'"
        )
        await self.run(statement, status, code, message, file.store, file.file, file.ingestion)

    async def texts(self, tenant: str, store: str, file: str) -> list[tuple[str, int, int]]:
        """The chunks of a file in order: text, start and end."""
        statement = sql.SQL(
            "SELECT text, starts_at, ends_at FROM vector_store_chunks"
            " WHERE store_id = %s AND file_id = %s AND tenant = %s ORDER BY number"
        )
        return [(text, start, end) for text, start, end in await self.run(statement, store, file, tenant)]


class BatchRows(Table):
    """Batches of files. Each method raises StoreDown where PostgreSQL does not answer, or has no such table yet."""

    async def create(self, tenant: str, store: str) -> tuple[str, datetime]:
        """Name and time of a new one."""
        statement = sql.SQL(
            "INSERT INTO vector_store_batches (id, store_id, tenant) VALUES (%s, %s, %s) RETURNING id, created_at"
        )
        rows = await self.run(statement, _new("vsfb"), store, tenant)
        return rows[0][0], rows[0][1]

    async def get(self, tenant: str, store: str, id_: str) -> tuple[datetime, Counts] | None:
        """When it was made, and its files by status."""
        statement = sql.SQL(
            "SELECT b.created_at, {} FROM vector_store_batches b"
            " LEFT JOIN vector_store_files f ON f.store_id = b.store_id AND f.batch_id = b.id"
            " WHERE b.id = %s AND b.store_id = %s AND b.tenant = %s GROUP BY b.id"
        ).format(_COUNTS)
        rows = await self.run(statement, id_, store, tenant)
        return (rows[0][0], Counts(*rows[0][1:6])) if rows else None

    async def cancel(self, tenant: str, store: str, id_: str) -> None:
        """What of it was not read yet is not read any more."""
        statement = sql.SQL(
            "UPDATE vector_store_files SET status = 'cancelled'"
            " WHERE batch_id = %s AND store_id = %s AND tenant = %s AND status = 'in_progress'"
        )
        await self.run(statement, id_, store, tenant)


def _new(prefix: str) -> str:
    """A name that nobody can guess."""
    return f"{prefix}_{secrets.token_hex(16)}"


def _paging(
    table: str, key: str, page: Page, within: dict[str, str]
) -> tuple[sql.Composable, sql.Composable, list[object]]:
    """Conditions after those that there are, order, and values."""
    conditions: list[sql.Composable] = []
    values: list[object] = []
    for name, forward in ((page.after, True), (page.before, False)):
        if name is None:
            continue
        than = sql.SQL("<" if page.newest_first == forward else ">")
        fixed = sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(column)) for column in within)
        conditions.append(
            sql.SQL(" AND (created_at, {0}) {1} (SELECT created_at, {0} FROM {2} WHERE {0} = %s AND {3})").format(
                sql.Identifier(key), than, sql.Identifier(table), fixed
            )
        )
        values += [name, *within.values()]
    direction = sql.SQL("DESC" if page.newest_first else "ASC")
    order = sql.SQL("created_at {0}, {1} {0}").format(direction, sql.Identifier(key))
    return sql.Composed(conditions), order, values
