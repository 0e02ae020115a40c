"""The statement that searches: two lists of candidates, put together by rank, in one go.

Tenant and store are conditions of each list, beside the vectors and words: nothing is looked for elsewhere and thrown
away. Reciprocal rank fusion: Cormack, Clarke and Buettcher, SIGIR 2009.
"""

from collections.abc import Sequence
from uuid import UUID

from psycopg import sql

from aiapp_service.retrieval.filter_sql import condition
from aiapp_service.retrieval.index import Query
from aiapp_service.retrieval.words import Words, tsquery

# The constant of the paper.
_RANK = 60
_CANDIDATES = 4
_LEAST_CANDIDATES = 40
# A word that is everywhere finds everything: so many chunks are weighed, no more.
MOST_WEIGHED = 1_000

Statement = tuple[sql.Composed, dict[str, object]]


def candidates(query: Query) -> int:
    """How many each list has."""
    return max(_LEAST_CANDIDATES, _CANDIDATES * query.limit)


class Search:
    """Builds the statement for one query."""

    def __init__(self, query: Query, words: Words | None = None) -> None:
        self._query = query
        self._words = words
        self._values: dict[str, object] = {
            "tenant": query.tenant,
            "store": query.store,
            "limit": query.limit,
            "most": candidates(query),
            "vector_weight": query.vector_weight,
            "text_weight": query.text_weight,
        }
        where: sql.Composable = sql.SQL("c.tenant = %(tenant)s AND c.store_id = %(store)s")
        self._from = sql.SQL("vector_store_chunks c")
        if query.filter is not None:
            self._from = sql.SQL("vector_store_chunks c JOIN vector_store_files f USING (store_id, file_id)")
            filtered = condition(query.filter, sql.SQL("f.attributes"), self._values)
            where = sql.SQL("{} AND {}").format(where, filtered)
        self._where = where

    @property
    def has_words(self) -> bool:
        """Whether it looks for words."""
        return self._words is not None

    def by_vectors(self, *, exact: bool) -> Statement:
        """With the vectors in the table. An exact search compares all of the store."""
        vector = self._query.vector
        assert vector is not None  # noqa: S101  # the caller's promise
        number = len(vector)
        self._values["vector"] = literal(vector)
        self._values["dimensions"] = number
        typed = sql.SQL("halfvec({})").format(sql.Literal(number))
        # An index is used for the bare expression alone.
        distance = sql.SQL("(c.embedding::{0}) <=> %(vector)s::{0}").format(typed)
        order = sql.SQL("({}) + 0").format(distance) if exact else distance
        nearest = sql.SQL(
            "SELECT c.id, 1 - ({}) AS score FROM {} WHERE {} AND c.dimensions = {} ORDER BY {} LIMIT %(most)s"
        ).format(distance, self._from, self._where, sql.Literal(number), order)
        return self._fused(nearest)

    def by_ids(self, nearest: Sequence[tuple[UUID, float]]) -> Statement:
        """With neighbours that another store has found."""
        self._values["ids"] = [id_ for id_, _ in nearest]
        self._values["scores"] = [score for _, score in nearest]
        found = sql.SQL("SELECT id, score FROM unnest(%(ids)s::uuid[], %(scores)s::float8[]) AS n(id, score)")
        return self._fused(found)

    def by_text(self) -> Statement:
        """Without vectors."""
        return self._fused(None)

    def _fused(self, nearest: sql.Composable | None) -> Statement:
        parts: list[sql.Composable] = []
        rank = sql.SQL(
            "SELECT id, score, row_number() OVER (ORDER BY score DESC, id) AS rank, {} AS weight FROM ({}) AS {}"
        )
        if nearest is not None:
            parts.append(rank.format(sql.SQL("%(vector_weight)s::float8"), nearest, sql.SQL("nearest")))
        if self._words is not None:
            parts.append(rank.format(sql.SQL("%(text_weight)s::float8"), self._worded(self._words), sql.SQL("worded")))
        fused = sql.SQL("sum(weight / ({} + rank)) * {} / (%(vector_weight)s::float8 + %(text_weight)s::float8)")
        best = sql.Literal(_RANK + 1)
        score = fused.format(sql.Literal(_RANK), best) if len(parts) > 1 else sql.SQL("max(score)")
        return (
            sql.SQL(
                "WITH ranked AS ({}), best AS ("
                "SELECT id, {} AS score FROM ranked GROUP BY id ORDER BY 2 DESC, id LIMIT %(limit)s) "
                "SELECT c.file_id, f.filename, f.attributes, c.number, c.text, c.starts_at, c.ends_at, c.page,"
                " greatest(0, least(1, best.score)) AS score FROM best"
                " JOIN vector_store_chunks c ON c.id = best.id AND c.tenant = %(tenant)s AND c.store_id = %(store)s"
                " JOIN vector_store_files f ON f.store_id = c.store_id AND f.file_id = c.file_id"
                " ORDER BY score DESC, best.id"
            ).format(sql.SQL(" UNION ALL ").join(parts), score),
            self._values,
        )

    def _worded(self, words: Words) -> sql.Composable:
        """Chunks with any of the words that are sought: a question rarely has all of its words in its answer."""
        self._values["sought"] = tsquery(words.sought)
        self._values["asked"] = tsquery(words.all)
        self._values["weights"] = list(words.weights)
        weighed: sql.Composable = sql.SQL("words")
        for name in "ABC":
            # Stored words are of class D.
            if name in words.classes:
                self._values[f"class_{name}"] = list(words.classes[name])
                value = sql.Placeholder(f"class_{name}")
                weighed = sql.SQL("setweight({}, {}, {}::text[])").format(weighed, sql.Literal(name), value)
        return sql.SQL(
            "SELECT id, relevance / nullif(max(relevance) OVER (), 0) AS score FROM ("
            "SELECT id, ts_rank(%(weights)s::float4[], {}, %(asked)s::tsquery, 1) AS relevance FROM ("
            "SELECT c.id, c.words FROM {} WHERE {} AND c.words @@ %(sought)s::tsquery LIMIT {}) AS found"
            " ORDER BY relevance DESC, id LIMIT %(most)s) AS best_worded"
        ).format(weighed, self._from, self._where, sql.Literal(MOST_WEIGHED))


def literal(vector: Sequence[float]) -> str:
    """As pgvector reads it."""
    return f"[{','.join(map(repr, vector))}]"
