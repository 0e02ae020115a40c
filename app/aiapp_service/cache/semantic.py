"""Answers to questions that mean the same, in PostgreSQL with pgvector.

Whose question it is, which model is asked, what came before and all parameters are conditions of the query, beside
the distance of the vectors: nothing is found in another partition, however near it is. A partition is searched in
full: it is small, and an approximate index would look for neighbours first and for the tenant then.
"""

import asyncio
import logging
from dataclasses import dataclass
from decimal import Decimal

import psycopg

from aiapp_service.cache.canonical import digest
from aiapp_service.cache.embedder import Embedder
from aiapp_service.cache.question import Question
from aiapp_service.cache.stored import Stored
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.stores.postgres import Database

log = logging.getLogger(__name__)

# The latest answers of a partition are looked at; the time that takes grows with their number.
MOST_COMPARED = 1000
# Each answer that is added takes so many with it that have run out.
SWEPT_AT_ONCE = 10
# Nobody waits for a write.
PUT_SECONDS = 2.0
# Without its table the cache looks again after this time.
REST_SECONDS = 60.0

_NEAREST = f"""
    SELECT answer FROM (
        SELECT id, answer, embedding <=> %(vector)s::vector AS distance FROM (
            SELECT id, answer, embedding FROM semantic_cache
            WHERE tenant = %(tenant)s AND model = %(model)s AND context = %(context)s AND parameters = %(parameters)s
                AND expires_at > now()
            ORDER BY expires_at DESC LIMIT {MOST_COMPARED}
        ) AS latest
    ) AS compared
    WHERE distance <= %(most)s ORDER BY distance, id DESC LIMIT 1
"""  # noqa: S608  # the only part of it is a number of ours
_ADD = """
    INSERT INTO semantic_cache (tenant, model, context, parameters, embedding, answer, expires_at)
    VALUES (%(tenant)s, %(model)s, %(context)s, %(parameters)s, %(vector)s::vector, %(answer)s,
        now() + make_interval(secs => %(ttl)s))
"""
_SWEEP = f"""
    DELETE FROM semantic_cache WHERE id IN (
        SELECT id FROM semantic_cache WHERE expires_at <= now()
        ORDER BY expires_at LIMIT {SWEPT_AT_ONCE} FOR UPDATE SKIP LOCKED
    )
"""  # noqa: S608  # the same


@dataclass(frozen=True)
class Place:
    """Where in the table a question belongs."""

    tenant: str
    model: str
    context: bytes
    parameters: bytes
    vector: str


class SemanticCache:
    """Keeps each answer for `ttl` seconds; a similarity of `threshold` or more is a hit."""

    def __init__(self, database: Database, embedder: Embedder, threshold: Decimal, ttl: float) -> None:
        self._database = database
        self._embedder = embedder
        self._most = float(1 - threshold)
        self._ttl = ttl
        self._off_until = float("-inf")
        self._said = False

    async def place(self, tenant: str, model: str, question: Question) -> Place:
        """Where `question` belongs.

        Raises:
            StoreDown: the cache cannot be asked, or the embedding model cannot.
        """
        if asyncio.get_running_loop().time() < self._off_until:
            raise StoreDown("the database has no table semantic_cache")
        if "\x00" in tenant:
            raise StoreDown("PostgreSQL takes no such name of a tenant")
        if self._database.down:
            # Nobody pays for an embedding that cannot be looked up.
            await self._database.run(lambda connection: connection.execute("SELECT 1"))
        vector = await self._embedder.embed(question.text)
        return Place(tenant, model, question.context, digest(question.parameters, vector.space), vector.literal)

    async def nearest(self, place: Place) -> Stored | None:
        """The answer to the question that is nearest, if it is near enough.

        Raises:
            StoreDown: PostgreSQL does not answer, or has no such table.
        """
        fields = {**vars(place), "most": self._most}

        async def find(connection: psycopg.AsyncConnection) -> tuple[bytes] | None:
            return await (await connection.execute(_NEAREST, fields)).fetchone()

        try:
            row = await self._database.run(find)
        except psycopg.Error as error:
            raise self._off(error) from error
        self._said = False
        return None if row is None else Stored.unpacked(bytes(row[0]))

    async def put(self, place: Place, stored: Stored) -> None:
        """Keep it, and remove some of what has run out.

        Raises:
            StoreDown: PostgreSQL does not answer, or has no such table.
        """
        fields = {**vars(place), "answer": stored.packed(), "ttl": self._ttl}

        async def add(connection: psycopg.AsyncConnection) -> None:
            await connection.execute(_ADD, fields)
            await connection.execute(_SWEEP)

        try:
            await self._database.run(add, PUT_SECONDS)
        except psycopg.Error as error:
            raise self._off(error) from error

    def _off(self, error: psycopg.Error) -> StoreDown:
        """Rest for a while, and say so once."""
        if not isinstance(error, (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedObject)):
            return StoreDown(f"PostgreSQL refuses: {type(error).__name__}")
        self._off_until = asyncio.get_running_loop().time() + REST_SECONDS
        if not self._said:
            self._said = True
            remedy = "make the extension `vector` (pgvector) available and run `aiapp-service migrate`"
            log.warning("semantic cache is off: the database has no table for it", extra={"remedy": remedy})
        return StoreDown("the database has no table semantic_cache")
