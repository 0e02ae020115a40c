"""The stage: an answer that is known is given at once, one that is new is kept when it is over.

Exact first, since it costs nothing; then by meaning. A cache that is down is a miss.
"""

from collections.abc import AsyncIterator, Mapping
from decimal import Decimal

from aiapp_service.cache import responses
from aiapp_service.cache.canonical import canonical, digest, shaping
from aiapp_service.cache.exact import ExactCache
from aiapp_service.cache.flights import Flights
from aiapp_service.cache.keeping import Asked, Keeping
from aiapp_service.cache.policy import may_ask
from aiapp_service.cache.question import question_of
from aiapp_service.cache.replay import replayed
from aiapp_service.cache.semantic import SemanticCache
from aiapp_service.cache.stored import Stored
from aiapp_service.cache.writes import Writes
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.pipeline.call import Caching
from aiapp_service.pipeline.exchange import Exchange, Next, Outcome, Streaming, Whole
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.telemetry.metrics import Metrics

HEADER = "x-aiapp-cache"
EXACT, SEMANTIC, MISS, BYPASS = "exact", "semantic", "miss", "bypass"
_HIT, _SHARED, _ERROR = "hit", "shared", "error"


class AnswerCache:
    """Both caches, as far as there are; `fingerprints` has that of each model's backends."""

    def __init__(
        self,
        exact: ExactCache | None,
        semantic: SemanticCache | None,
        fingerprints: Mapping[str, bytes],
        writes: Writes,
        metrics: Metrics,
    ) -> None:
        self._exact = exact
        self._semantic = semantic
        self._fingerprints = fingerprints
        self._flights = Flights()
        self._keeping = Keeping(exact, semantic, writes)
        self._kinds = [kind for kind, there in ((EXACT, exact), (SEMANTIC, semantic)) if there is not None]
        results = (_HIT, _SHARED, MISS, BYPASS, _ERROR)
        self._counts = {
            (kind, result): metrics.cache.labels(kind, result) for kind in self._kinds for result in results
        }

    async def answer(self, exchange: Exchange, following: Next) -> Outcome:
        """The stage."""
        caching = exchange.call.caching
        if caching is Caching.OFF or not may_ask(exchange.endpoint, exchange.body):
            self._bypassed(exchange)
            return await following(exchange)
        asked = self._asked(exchange)
        if caching is Caching.REFRESH:
            self._bypassed(exchange)
        else:
            found = await self._known(exchange, asked)
            if found is not None:
                return _given(exchange, *found)
            exchange.call.headers[HEADER] = MISS
        try:
            outcome = await following(exchange)
        except Exception:  # whatever it was: others wait for this answer, and have to ask for themselves
            asked.nothing_to_share()
            raise
        return self._keeping.keep(exchange, asked, outcome)

    def _asked(self, exchange: Exchange) -> Asked:
        tenant, model, endpoint = exchange.call.principal.tenant, exchange.route.name, exchange.endpoint
        fingerprint = self._fingerprints[model]
        key = digest(endpoint, tenant, model, fingerprint, canonical(shaping(exchange.body)))
        question = None
        if self._semantic is not None and endpoint is Endpoint.CHAT:
            question = question_of(exchange.body, fingerprint)
        elif self._semantic is not None and endpoint is Endpoint.RESPONSES:
            question = responses.question_of_response(exchange.body, fingerprint)
        return Asked(key, tenant, model, question)

    async def _known(self, exchange: Exchange, asked: Asked) -> tuple[str, Stored] | None:
        """Where an answer is from that is kept, or that somebody else is just getting, and the answer."""
        if self._exact is None:
            return await self._by_meaning(asked)
        timeouts = exchange.route.timeouts
        # A stream is shared when it is over: whoever wants one does not wait for its first token any longer than this.
        patience = timeouts.first_token if exchange.streamed else timeouts.total
        joined = await self._flights.join(asked.key, patience)
        if isinstance(joined, Stored):
            self._count(EXACT, _SHARED)
            return EXACT, joined
        if joined is not None:
            asked.lead = joined
            exchange.cleanup.callback(joined.leave)
        found = await self._by_words(self._exact, asked) or await self._by_meaning(asked)
        if found is not None and asked.lead is not None:
            asked.lead.share(found[1])
            asked.lead.close()
        return found

    async def _by_words(self, exact: ExactCache, asked: Asked) -> tuple[str, Stored] | None:
        try:
            stored = await exact.get(asked.key)
        except StoreDown:
            self._count(EXACT, _ERROR)
            return None
        self._count(EXACT, MISS if stored is None else _HIT)
        return None if stored is None else (EXACT, stored)

    async def _by_meaning(self, asked: Asked) -> tuple[str, Stored] | None:
        if self._semantic is None:
            return None
        if asked.question is None:
            self._count(SEMANTIC, BYPASS)
            return None
        try:
            asked.place = await self._semantic.place(asked.tenant, asked.model, asked.question)
            stored = await self._semantic.nearest(asked.place)
        except StoreDown:
            self._count(SEMANTIC, _ERROR)
            return None
        self._count(SEMANTIC, MISS if stored is None else _HIT)
        return None if stored is None else (SEMANTIC, stored)

    def _bypassed(self, exchange: Exchange) -> None:
        exchange.call.headers[HEADER] = BYPASS
        for kind in self._kinds:
            self._count(kind, BYPASS)

    def _count(self, kind: str, result: str) -> None:
        self._counts[kind, result].inc()


def _given(exchange: Exchange, kind: str, stored: Stored) -> Outcome:
    """What is kept, in the way that the client wants it. Nobody is billed."""
    call = exchange.call
    call.cache, call.usage, call.cost = kind, stored.usage, Decimal(0)
    call.headers |= {HEADER: kind, "Age": str(stored.age)}
    if not exchange.streamed:
        return Whole(200, stored.body)
    if exchange.endpoint is Endpoint.RESPONSES:
        return Streaming(_one(responses.replayed(stored.body)))
    options = exchange.body.get("stream_options")
    with_usage = isinstance(options, dict) and bool(options.get("include_usage"))
    return Streaming(_one(replayed(stored.body, with_usage=with_usage)))


async def _one(events: bytes) -> AsyncIterator[bytes]:
    yield events
