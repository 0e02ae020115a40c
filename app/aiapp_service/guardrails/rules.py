"""A rule: an expression that finds candidates, and a judge that says which parts of them count.

Everything works on UTF-8 bytes, and on google-re2, whose time is linear in the text whatever the expression.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import re2

from aiapp_service.guardrails.viable import NotUnderstood, beginnings

# `\n` in the JSON text of a tool call's arguments is no letter n before a number.
START = r"(?:\\[nrtf]|\b)"
# Instructions of RE2. Larger expressions do not fit its fast path, and cost more than one look for each rule.
_MOST_OF_A_GATE = 8192


class Hit(NamedTuple):
    """Bytes `start` to `end` of the text are of this kind."""

    start: int
    end: int
    kind: str


Judge = Callable[[Any], Sequence[Hit]]


@dataclass(frozen=True)
class Rule:
    """`pattern` finds candidates. `tail` finds where text begins that could become one; None: there is no telling.

    `gate` finds either of them. Scanning goes on behind the last hit of a candidate, or behind the candidate.
    """

    pattern: Any
    judge: Judge
    tail: Any = None
    gate: Any = None


def rule(kind: str, expression: str, judge: Judge | None = None, *, group: int = 0) -> Rule:
    """A rule for `expression`; without a judge each match counts, as far as `group` goes.

    Raises:
        ValueError: RE2 does not take it, or it matches the empty text.
    """
    pattern = compiled(expression)
    if pattern.search(b"") is not None:
        raise ValueError("matches the empty text")

    def all_of_it(match: Any) -> Sequence[Hit]:
        return (Hit(match.start(group), match.end(group), kind),)

    chosen = judge or all_of_it
    try:
        beginning = beginnings(expression)
        return Rule(pattern, chosen, compiled(rf"(?:{beginning})\z"), compiled(rf"(?:{expression})|(?:{beginning})\z"))
    except (NotUnderstood, ValueError):
        return Rule(pattern, chosen)


def gate_of(rules: Sequence[Rule]) -> Any:
    """What finds what the gate of any of them finds; None: there is no such expression."""
    if not all(rule.gate for rule in rules):
        return None
    try:
        gate = compiled("|".join(f"(?:{rule.gate.pattern})" for rule in rules))
    except ValueError:
        return None
    return gate if gate.programsize <= _MOST_OF_A_GATE else None


def compiled(expression: str) -> Any:
    """The expression for RE2.

    Raises:
        ValueError: it is none; says why.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from error
