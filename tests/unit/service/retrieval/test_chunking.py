"""Chunks: how long they are, what they repeat, and where they stand in the text."""

from itertools import pairwise

import pytest

from aiapp_service.retrieval import tokens
from aiapp_service.retrieval.chunking import Strategy, chunks
from aiapp_service.retrieval.parsing.document import Document

WORDS = " ".join(f"word{number}" for number in range(3000))
MIXED = "Füße, 日本語 and 🙂🙃 <|endoftext|>. " * 300 + "End"


@pytest.mark.parametrize("text", [WORDS, MIXED, "a" * 120_000, " " * 60_000 + "x", "\n\n".join(["日本"] * 40_000)])
def test_tokens_begin_inside_the_text_and_in_order(text: str) -> None:
    starts = tokens.starts(text)
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert starts[-1] < len(text)


@pytest.mark.parametrize("text", [WORDS[:9000], MIXED[:9000], "🙂🙃" * 500, "é", "\u0301\u200d日"])
def test_tokens_begin_where_the_library_says(text: str) -> None:
    tokens.load()
    import bpe_openai  # noqa: PLC0415  # it warns when it is loaded first, which our own loading expects

    encoding = bpe_openai.get_encoding(tokens.ENCODING)
    _, offsets = encoding.decode_with_offsets(encoding.encode_ordinary(text))
    assert tokens.starts(text) == offsets


def test_tokens_are_those_of_the_encoding() -> None:
    assert tokens.starts("Hello world!") == [0, 5, 11]
    # What looks like a special token is text: several tokens.
    assert len(tokens.starts("<|endoftext|>")) > 1


@pytest.mark.parametrize("text", [WORDS, MIXED])
@pytest.mark.parametrize("strategy", [Strategy(), Strategy(100, 0), Strategy(100, 50), Strategy(4096, 7)])
def test_chunks_cover_the_text_and_overlap(text: str, strategy: Strategy) -> None:
    found = chunks(Document(text), strategy)
    assert [chunk.number for chunk in found] == list(range(len(found)))
    assert found[0].start == 0
    assert found[-1].end == len(text)
    for chunk in found:
        assert chunk.text == text[chunk.start : chunk.end]
        # A chunk alone may be cut into one token more at its edges.
        assert len(tokens.starts(chunk.text)) <= strategy.size + 2
    for before, after in pairwise(found):
        assert before.start < after.start <= before.end
        shared = len(tokens.starts(text[after.start : before.end])) if after.start < before.end else 0
        assert abs(shared - strategy.overlap) <= 2


def test_a_short_text_is_one_chunk_and_an_empty_one_none() -> None:
    assert [chunk.text for chunk in chunks(Document("Short."), Strategy())] == ["Short."]
    assert chunks(Document(""), Strategy()) == []
    assert chunks(Document(" \n " * 50), Strategy(100, 0)) == []


def test_chunks_know_their_page() -> None:
    text = WORDS[:4000]
    found = chunks(Document(text, (0, 1500, 3000)), Strategy(100, 0))
    assert [chunk.page for chunk in found] == [1 + (chunk.start >= 1500) + (chunk.start >= 3000) for chunk in found]
    assert {chunk.page for chunk in found} == {1, 2, 3}
    assert chunks(Document(text), Strategy())[0].page is None


def test_the_same_text_has_the_same_hash() -> None:
    one, other = chunks(Document(WORDS), Strategy()), chunks(Document(WORDS), Strategy())
    assert [chunk.hash for chunk in one] == [chunk.hash for chunk in other]
    assert len({chunk.hash for chunk in one}) == len(one)
