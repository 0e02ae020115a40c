"""However a text is cut into chunks, what is shown of it is the same."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiapp_service.config import GuardrailAction
from aiapp_service.guardrails import leaked_secrets, pii, topics
from aiapp_service.guardrails.chain import Chain
from aiapp_service.guardrails.passage import Guardrail, Place
from aiapp_service.guardrails.rules import Rule, gate_of, rule
from aiapp_service.guardrails.scanner import Scanner
from aiapp_service.guardrails.viable import NotUnderstood, beginnings
from aiapp_service.guardrails.window import BLIND_HELD, MOST_HELD, Window

PLACE = Place("assistant")
# Repeats, alternatives that are prefixes of each other, assertions on both sides, flags, classes, more than ASCII.
EXPRESSIONS = (
    r"sk-[A-Za-z0-9]{4,}",
    r"\bfoo\b",
    r"foo\B",
    r"fo|foo|oof",
    r"a(?:b|cd)*e?f",
    r"(?i)hello\s+world$",
    r"(?P<twice>ab){2,3}c",
    r"x{2}",
    r"x{0}a{,2}b",
    r"^a",
    r"(?m)^b+",
    r"[^a]b|ca",
    r"[\]a-]+k",
    r"[é-ü]+x",
    r"a.*?b",
    r"\pL\d\x{e9}",
)
RULES = [rule("K", expression) for expression in EXPRESSIONS]
KINDS = (pii.rules(), leaked_secrets.rules(), topics.rules(["café noir", "tea"]))
PIECES = (
    "bob@example.com",
    "+49 30 901820",
    "(212) 555-2368",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "536-22-1234",
    "10.0.0.1",
    "2001:db8::1",
    "AKIAIOSFODNN7EXAMPLE",
    "sk-proj-a8Kd92LqPz0Xc7Vb3Nm5",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQ==\n-----END PRIVATE KEY-----",
    "password = hunter2hunter3xYz",
    "Café  noir",
    "tea",
    "bob@",
    "1",
    "-",
    " ",
    ". ",
    "\n",
    "ü",
    "\U0001f600",
    "word",
)


def chain() -> Chain:
    """All kinds, one after the other."""
    return Chain([guardrail(str(number), rules) for number, rules in enumerate(KINDS)])


def guardrail(name: str, rules: list[Rule]) -> Guardrail:
    gate, action = gate_of(rules), GuardrailAction.REDACT
    assert gate is not None
    return Guardrail(name, action, lambda: Scanner(rules, gate, action), lambda: None)


def cut(text: str, places: list[int]) -> list[str]:
    ends = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in itertools.pairwise(ends)]


@given(
    st.sampled_from(RULES),
    st.text(alphabet="abcdefx\u00e9\u00fcsk-Hello wrd\nfo1]", max_size=30),
    st.lists(st.integers(0, 30), max_size=8),
)
@settings(max_examples=600, deadline=None)
def test_any_expression_and_text(checked: Rule, text: str, places: list[int]):
    window = Window(checked)
    shown = b"".join(window.feed(piece.encode())[0] for piece in cut(text, places)) + window.feed(b"", final=True)[0]
    assert shown == checked.pattern.sub(b"[K]", text.encode())


@given(st.lists(st.sampled_from(PIECES), max_size=8), st.lists(st.integers(0, 300), max_size=30))
@settings(max_examples=150, deadline=None)
def test_what_guardrails_look_for(pieces: list[str], places: list[int]):
    text = "".join(pieces)
    whole, streamed = chain(), chain()
    expected = whole.feed(PLACE, text) + whole.finish(PLACE)
    shown = "".join([streamed.feed(PLACE, piece) for piece in cut(text, places)]) + streamed.finish(PLACE)
    assert shown == expected
    assert {g.name for g in streamed.violations} == {g.name for g in whole.violations}


@pytest.mark.parametrize("text", PIECES[:14])
def test_every_single_character_as_a_chunk(text: str):
    streamed, whole = chain(), chain()
    text = f"so {text}, then"
    result = "".join([streamed.feed(PLACE, character) for character in text]) + streamed.finish(PLACE)
    assert result == whole.feed(PLACE, text) + whole.finish(PLACE)
    assert result != text


@pytest.mark.parametrize(
    ("expression", "text", "held"),
    [
        ("sk-[0-9]{4,}", "nothing of it", ""),
        ("sk-[0-9]{4,}", "this is a s", "s"),
        ("sk-[0-9]{4,}", "it is sk-12", "sk-12"),
        ("sk-[0-9]{4,}", "it is sk-12345", "sk-12345"),
        ("sk-[0-9]{4,}", "it is sk-12x", ""),
        ("[0-9]{4}", "it is 12345", "5"),
        ("[0-9]{4}", "it is 123 and", ""),
        (r"\bfoo\b", "xfoo", ""),
        (r"\bfoo\b", "x foo", "foo"),
        (r"(?i)ok", "O", "O"),
    ],
)
def test_only_what_may_become_a_match_is_held(expression: str, text: str, held: str):
    assert Window(rule("K", expression)).feed(text.encode())[0] == shown(expression, text.removesuffix(held))


def shown(expression: str, text: str) -> bytes:
    return Window(rule("K", expression)).feed(text.encode(), final=True)[0]


def test_no_text_is_held_for_ever():
    window = Window(rule("K", "a.*z"))
    shown = b"".join(window.feed(b"abcdefgh")[0] for _ in range(MOST_HELD // 4))
    assert len(shown) >= MOST_HELD


def test_match_that_goes_on_and_on_is_not_shown():
    window = Window(rule("K", "sk-[a-z]+"))
    shown = window.feed(b"so: sk-")[0] + b"".join(window.feed(b"abcdefgh")[0] for _ in range(MOST_HELD // 8 + 1))
    assert shown.startswith(b"so: [K]")


@pytest.mark.parametrize("expression", [r"a(?i)bc", r"\Qa.b\E", r"a\Cb"])
def test_expressions_whose_beginnings_are_not_known(expression: str):
    with pytest.raises(NotUnderstood):
        beginnings(expression)
    window = Window(rule("K", expression))
    filling = "\u00e9" * (BLIND_HELD * 2)
    pieces = [filling, "a", ".", "b", "c", filling]
    shown = b"".join(window.feed(piece.encode())[0] for piece in pieces) + window.feed(b"", final=True)[0]
    assert shown == rule("K", expression).pattern.sub(b"[K]", "".join(pieces).encode())
