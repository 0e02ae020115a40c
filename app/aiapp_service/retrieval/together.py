"""The steps of reading files that several jobs take together: asking PostgreSQL, embedding, writing.

A transaction, or a call of a model, costs about the same for one file as for thirty.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aiapp_service.pipeline.principal import Principal
from aiapp_service.retrieval.embedding import MOST_TEXTS, Embedder, ModelBusy
from aiapp_service.retrieval.gathering import Gathering
from aiapp_service.retrieval.index import Index, Written
from aiapp_service.retrieval.pending import Asked, Pending, PendingRows
from aiapp_service.stores.breaker import StoreRefused

T = TypeVar("T")

# OpenAI takes 300,000 tokens in a request, and counts them its own way.
MOST_TOKENS = 250_000
_FILES_AT_ONCE = 64
# Of all chunks that are written at once: texts and vectors of so many take some megabytes.
_CHUNKS_AT_ONCE = 256
_CALLS_AT_ONCE = 4
# A model that is busy and does not say for how long is asked again after this, then after twice as long, and so on.
_BUSY_SECONDS = 1.0
_MOST_BUSY_SECONDS = 60.0

Vectors = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Texts:
    """What a job wants to have embedded: at most MOST_TEXTS texts and MOST_TOKENS `tokens`, a bound of how many."""

    embedder: Embedder
    model: str
    principal: Principal
    texts: Sequence[str]
    tokens: int

    @property
    def payer(self) -> tuple[str, str, str]:
        """Who is billed for what: only those are asked for together for whom this is the same."""
        return self.model, self.principal.tenant, self.principal.key


class Together:
    """Of one process."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._asking = Gathering[tuple[PendingRows, Asked], Pending | None](_asked, _FILES_AT_ONCE)
        self._embedding = Gathering[Texts, Vectors](self._embedded, MOST_TEXTS, _CALLS_AT_ONCE, _texts_of)
        self._writing = Gathering[tuple[Index, Written], bool](_written, _CHUNKS_AT_ONCE, weight=_chunks_of)
        self._busy: dict[str, _Busy] = defaultdict(_Busy)

    async def pending(self, rows: PendingRows, asked: Asked) -> Pending | None:
        """What is known of a file; None: nobody waits for it any more."""
        return await self._asking.do((rows, asked))

    async def embed(self, texts: Texts) -> Vectors:
        """A vector for each text.

        Raises:
            ModelBusy: the model takes nothing for a while, so it was not asked, or has just said so.
            StoreDown, StoreRefused: it does not answer, or refuses.
        """
        self._busy[texts.model].require()
        return await self._embedding.do(texts)

    async def write(self, index: Index, written: Written) -> bool:
        """Add chunks of a file; False: nobody waits for them any more."""
        return await self._writing.do((index, written))

    async def _embedded(self, several: Sequence[Texts]) -> list[Vectors | Exception]:
        results: dict[int, Vectors | Exception] = {}
        for numbers in _packed(several):
            some = [several[number] for number in numbers]
            try:
                found: Sequence[Vectors | Exception] = await self._asked_for(some)
            except StoreRefused as error:
                # It may be the text of one of them that is refused.
                found = [await self._alone(texts) for texts in some] if len(some) > 1 else [error]
            except Exception as error:  # noqa: BLE001  # it is raised for each of these, not for the others
                found = [error] * len(some)
            results.update(zip(numbers, found, strict=True))
        return [results[number] for number in range(len(several))]

    async def _alone(self, texts: Texts) -> Vectors | Exception:
        try:
            return (await self._asked_for([texts]))[0]
        except Exception as error:  # noqa: BLE001  # it is raised where it belongs
            return error

    async def _asked_for(self, some: Sequence[Texts]) -> list[Vectors]:
        first = some[0]
        busy = self._busy[first.model]
        busy.require()
        inputs = [text for texts in some for text in texts.texts]
        try:
            vectors = await first.embedder.embed(first.model, inputs, first.principal, self._new_id())
        except ModelBusy as error:
            busy.note(error.seconds)
            busy.require()
            raise
        busy.clear()
        found, start = list[Vectors](), 0
        for texts in some:
            found.append(vectors[start : start + len(texts.texts)])
            start += len(texts.texts)
        return found


class _Busy:
    """Until when a model is not asked."""

    def __init__(self) -> None:
        self._until = 0.0
        self._times = 0

    def require(self) -> None:
        """Raise ModelBusy while it is not asked."""
        seconds = self._until - asyncio.get_running_loop().time()
        if seconds > 0:
            raise ModelBusy(seconds)

    def note(self, seconds: float | None) -> None:
        """It has said that it is busy, and for how long."""
        own = min(_MOST_BUSY_SECONDS, _BUSY_SECONDS * 2.0 ** min(self._times, 10))
        self._times += 1
        self._until = asyncio.get_running_loop().time() + max(seconds or 0.0, own)

    def clear(self) -> None:
        """It has answered."""
        self._times = 0


def _texts_of(texts: Texts) -> int:
    return len(texts.texts)


def _chunks_of(thing: tuple[Index, Written]) -> int:
    return 1 + len(thing[1].chunks)


def _packed(several: Sequence[Texts]) -> Iterator[list[int]]:
    """Which of them are asked for in one call."""
    by_payer: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for number, texts in enumerate(several):
        by_payer[texts.payer].append(number)
    for numbers in by_payer.values():
        pack, tokens = list[int](), 0
        for number in numbers:
            tokens += several[number].tokens
            if pack and tokens > MOST_TOKENS:
                yield pack
                pack, tokens = [], several[number].tokens
            pack.append(number)
        yield pack


async def _asked(several: Sequence[tuple[PendingRows, Asked]]) -> list[Pending | Exception | None]:
    return list(await several[0][0].asked([asked for _, asked in several]))


async def _written(several: Sequence[tuple[Index, Written]]) -> list[bool | Exception]:
    index = several[0][0]
    results: dict[int, bool | Exception] = {}
    for numbers in _each_once([(w.place.store, w.place.file) for _, w in several]):
        some = [several[number][1] for number in numbers]
        found: Sequence[bool | Exception]
        try:
            found = await index.write(some)
        except StoreRefused as error:
            # It may be the text of one of them that is refused.
            found = [await _written_alone(index, written) for written in some] if len(some) > 1 else [error]
        results.update(zip(numbers, found, strict=True))
    return [results[number] for number in range(len(several))]


async def _written_alone(index: Index, written: Written) -> bool | Exception:
    try:
        return (await index.write([written]))[0]
    except Exception as error:  # noqa: BLE001  # it is raised where it belongs
        return error


def _each_once(names: Sequence[tuple[str, str]]) -> Iterator[list[int]]:
    """The numbers of all of them in lists, none of which has a name twice."""
    left = list(range(len(names)))
    while left:
        first = {names[number]: number for number in reversed(left)}
        yield sorted(first.values())
        left = [number for number in left if first[names[number]] != number]
