"""Which words of a query are looked for, and how much each of them counts."""

import pytest

from aiapp_service.retrieval.words import Words, tsquery


def test_rare_words_are_looked_for_first_and_count_more() -> None:
    terms = [("river", 0.02, 0.001), ("the", 0.9, 0.001), ("trout", None, 0.001), ("swim", 0.1, 0.001)]
    words = Words.of(terms, 100_000)
    assert words.all == ["trout", "river", "swim", "the"]
    # 50 and 2,000 chunks: enough to weigh; those with frequent words alone are not looked for.
    assert words.sought == ["trout", "river"]
    weight = {lexeme: words.weights["DCBA".index(name)] for name, found in words.classes.items() for lexeme in found}
    assert weight["trout"] == 1.0
    assert weight["trout"] > weight["river"] > weight["swim"] > weight["the"] > 0


def test_in_a_small_store_all_words_are_looked_for() -> None:
    words = Words.of([("river", 0.02, 0.001), ("swim", 0.1, 0.001)], 500)
    assert set(words.sought) == {"river", "swim"}


@pytest.mark.parametrize("share", [None, 1.0])
def test_without_statistics_all_words_count_the_same(share: float | None) -> None:
    words = Words.of([("river", share, share), ("swim", share, share)], 100)
    assert words.classes == {"A": ["river", "swim"]}
    assert words.weights == [1.0, 1.0, 1.0, 1.0]
    assert set(words.sought) == {"river", "swim"}


def test_words_are_quoted() -> None:
    assert tsquery(["it's", "a\\b", "x"]) == "'it''s' | 'a\\\\b' | 'x'"
