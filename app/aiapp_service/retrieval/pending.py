"""Files that wait to be read: all that their readings have to know, and those that everybody has forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from aiapp_service.retrieval.rows import FILE, StoreFile
from aiapp_service.retrieval.table import Table

_ASKED = sql.SQL(
    "SELECT g.number::int, s.embedding_model, u.id IS NOT NULL,"
    " EXISTS (SELECT FROM vector_store_chunks c WHERE c.store_id = f.store_id AND c.file_id = f.file_id), {}"
    " FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) WITH ORDINALITY"
    " AS g(tenant, store, file, ingestion, number)"
    " JOIN vector_store_files f ON f.store_id = g.store AND f.file_id = g.file AND f.tenant = g.tenant"
    " AND f.ingestion = g.ingestion AND f.status = 'in_progress'"
    " JOIN vector_stores s ON s.id = f.store_id AND s.tenant = f.tenant"
    " LEFT JOIN files u ON u.id = f.file_id AND u.tenant = f.tenant AND u.status = 'processed'"
    " AND (u.expires_at IS NULL OR u.expires_at > now())"
).format(sql.SQL(", ").join(sql.SQL("f.{}").format(sql.Identifier(name)) for name in FILE))
_FORGOTTEN = sql.SQL(
    "SELECT f.tenant, f.api_key, {} FROM vector_store_files f WHERE f.status = 'in_progress'"
    " AND f.created_at < now() - make_interval(secs => %s) ORDER BY f.created_at LIMIT %s"
).format(sql.SQL(", ").join(sql.SQL("f.{}").format(sql.Identifier(name)) for name in FILE))


@dataclass(frozen=True)
class Asked:
    """Which reading of which file a job is about."""

    tenant: str
    store: str
    file: str
    ingestion: str


@dataclass(frozen=True)
class Pending:
    """A file that is to be read now. `uploaded`: it is still there; `begun`: chunks of it are in the store already."""

    file: StoreFile
    embedding_model: str
    uploaded: bool
    begun: bool


@dataclass(frozen=True)
class Unread:
    """A file that nobody has read yet, though it has been in its store for a while; `key` put it there."""

    tenant: str
    key: str
    file: StoreFile


class PendingRows(Table):
    """Each method raises StoreDown where PostgreSQL does not answer, or has no such table yet."""

    async def asked(self, several: Sequence[Asked]) -> list[Pending | None]:
        """What is known of each; None: nobody waits for it any more."""
        columns = zip(*((a.tenant, a.store, a.file, a.ingestion) for a in several), strict=True)
        found = {
            number: Pending(StoreFile(*file), model, uploaded, begun)
            for number, model, uploaded, begun, *file in await self.run(_ASKED, *map(list, columns))
        }
        return [found.get(number) for number in range(1, len(several) + 1)]

    async def unread(self, seconds: float, limit: int) -> list[Unread]:
        """Files that have been waiting for so long, those that wait longest first."""
        rows = await self.run(_FORGOTTEN, seconds, limit)
        return [Unread(tenant, key, StoreFile(*file)) for tenant, key, *file in rows]
