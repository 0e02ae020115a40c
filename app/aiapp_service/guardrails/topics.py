"""Topics: words and phrases that are not talked about, whatever their case, accents and the space between the words.

`café noir` finds "Cafe  Noir" and "CAFÉ-free" finds nothing of "café": only whole words count. Letters of their own,
like ø or ß, are only themselves.
"""

import sys
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from functools import cache

import re2

from aiapp_service.guardrails.rules import Rule, rule

_WORD = r"\pL\pM\pN_"
# Accents that stand behind their letter.
_MARKS = r"[\x{300}-\x{36f}]{0,3}"


def rules(topics: Sequence[str]) -> list[Rule]:
    """One rule for all of them; longer ones win.

    Raises:
        ValueError: a topic has no word in it.
    """
    phrases = [_phrase(topic) for topic in sorted(topics, key=len, reverse=True)]
    # What follows a topic is left for the next match to begin with.
    expression = rf"(?i)(?:\A|[^{_WORD}])({'|'.join(phrases)})(?:[^{_WORD}]|\z)"
    return [rule("TOPIC", expression, group=1)]


def _phrase(topic: str) -> str:
    words = topic.split()
    if not words:
        raise ValueError("a topic is empty")
    return r"[\s\pZ]{1,8}".join("".join(_letter(c) for c in _plain(word)) for word in words)


def _plain(word: str) -> str:
    """In lower case, without what is put on letters."""
    return "".join(c for c in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(c))


def _letter(letter: str) -> str:
    """The letter with or without accents, as one character or several."""
    variants = _accented().get(letter, "")
    return rf"[{re2.escape(letter)}{variants}]{_MARKS}" if letter.isalpha() else re2.escape(letter)


@cache
def _accented() -> dict[str, str]:
    """Which characters are a letter with something put on it."""
    found: dict[str, str] = defaultdict(str)
    for number in range(0x80, min(sys.maxunicode, 0x2000)):
        character = chr(number)
        base = _plain(character)
        if len(base) == 1 and base != character:
            found[base] += character
    return found
