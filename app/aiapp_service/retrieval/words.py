"""Words of a query, by how much they say: rare ones count more, and are looked for first.

How rare a word is stands in PostgreSQL's own statistics of the column (`ANALYZE` makes them), over all stores; while
there are none all words count the same. `ts_rank` knows four classes of words with a weight each, so words are put
into four classes by their inverse document frequency. Sparck Jones, Journal of Documentation 28 (1972).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Chunks that are expected to have one of the words, before the frequent ones are only weighed, not looked for.
ENOUGH = 500
_CLASSES = "ABCD"
# A word that is everywhere still says a little.
_LEAST_WEIGHT = 0.05

# What is beyond the elements of the array of shares are the least and the greatest of them.
TERMS = """
    WITH known AS (
        SELECT e.lexeme, e.share FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = 'words',
        unnest(s.most_common_elems::text::text[], s.most_common_elem_freqs) AS e(lexeme, share)
        WHERE c.oid = 'vector_store_chunks'::regclass
    )
    SELECT asked.lexeme, known.share, (SELECT min(share) FROM known) AS least
    FROM unnest(tsvector_to_array(to_tsvector('english', %(text)s))) AS asked(lexeme)
    LEFT JOIN known ON known.lexeme = asked.lexeme
"""


@dataclass(frozen=True)
class Words:
    """`sought`: a chunk needs one of these. `classes`: the words of each class, `weights` from D to A."""

    all: Sequence[str]
    sought: Sequence[str]
    classes: Mapping[str, Sequence[str]]
    weights: Sequence[float]

    @classmethod
    def of(cls, terms: Sequence[tuple[str, float | None, float | None]], chunks: int) -> "Words":
        """Out of what TERMS finds, for a store of so many chunks."""
        shares = {lexeme: _share(share, least) for lexeme, share, least in terms}
        rarest_first = sorted(shares, key=lambda lexeme: (shares[lexeme], lexeme))
        sought, expected = list[str](), 0.0
        for lexeme in rarest_first:
            if sought and expected > ENOUGH:
                break
            sought.append(lexeme)
            expected += shares[lexeme] * chunks
        return cls(rarest_first, sought, *_classes({lexeme: _weight(share) for lexeme, share in shares.items()}))


def tsquery(lexemes: Sequence[str]) -> str:
    """Any of them, as PostgreSQL reads it."""
    quoted = (lexeme.replace("\\", "\\\\").replace("'", "''") for lexeme in lexemes)
    return " | ".join(f"'{lexeme}'" for lexeme in quoted)


def _share(share: float | None, least: float | None) -> float:
    """Of all chunks, those that have a word; what the statistics do not name is rarer than what they do."""
    if share is not None:
        return share
    return least / 2 if least else 0.0


def _weight(share: float) -> float:
    return -math.log(min(1.0, share)) if share > 0 else math.inf


def _classes(weights: Mapping[str, float]) -> tuple[dict[str, list[str]], list[float]]:
    most = max((weight for weight in weights.values() if weight < math.inf), default=0.0)
    if not most:
        # Nothing is known of any of them, or all are everywhere.
        return {"A": list(weights)}, [1.0] * len(_CLASSES)
    scaled = {lexeme: max(_LEAST_WEIGHT, min(1.0, weight / most)) for lexeme, weight in weights.items()}
    if len(scaled) <= len(_CLASSES):
        rarest_first = sorted(scaled, key=lambda lexeme: -scaled[lexeme])
        names = dict(zip(_CLASSES, rarest_first, strict=False))
        ranked = {name: [lexeme] for name, lexeme in names.items()}
        return ranked, [scaled[names[name]] if name in names else _LEAST_WEIGHT for name in reversed(_CLASSES)]
    low, high = min(scaled.values()), max(scaled.values())
    width = (high - low) / len(_CLASSES) or 1.0
    found: dict[str, list[str]] = {}
    for lexeme, weight in scaled.items():
        number = min(len(_CLASSES) - 1, int((high - weight) / width))
        found.setdefault(_CLASSES[number], []).append(lexeme)
    means = {name: sum(scaled[lexeme] for lexeme in lexemes) / len(lexemes) for name, lexemes in found.items()}
    return found, [means.get(name, _LEAST_WEIGHT) for name in reversed(_CLASSES)]
