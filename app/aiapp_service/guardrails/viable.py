r"""How far a text that is still coming may be shown: which ends of it could be the beginning of a match.

For an RE2 expression R this gives another one, for all true beginnings of what R matches. For `sk-[0-9]+` it is, in
other words, `|s|sk|sk-[0-9]*`. The first place in a text from which on it matches up to the end is where to hold back:
what stands before it cannot become part of a match, whatever comes next.

It follows from the structure of R: nothing of a single character, and of `xy` a beginning of x, or x and a beginning
of y. Assertions at the end of the text (`\b`, `$`) are undecided there, so they hold.
"""

import re
from dataclasses import dataclass

_FLAGS = re.compile(r"\(\?[imsU-]+\)")
_GROUP = re.compile(r"\(\?P?<\w+>|\(\?:|\((?!\?)")
_REPEAT = re.compile(r"(?:(?P<sign>[*+?])|\{(?P<low>\d+)(?P<comma>,)?(?P<high>\d*)\})\??")
_ASSERTION = re.compile(r"\^|\$|\\[bBAz]")
_ESCAPED = re.compile(r"\\(?:[pP](?:\{[^}]*\}|.)|x(?:\{[0-9A-Fa-f]+\}|[0-9A-Fa-f]{2})|[0-7]{1,3}|[^QEC0-9])", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?(?:\[:\^?\w+:\]|\\[pP]\{[^}]*\}|\\.|[^\]\\])*\]", re.DOTALL)


class NotUnderstood(ValueError):
    """The expression uses something whose beginnings are not known: flags amid it, `\\Q`, `\\C`."""


@dataclass(frozen=True)
class _Part:
    """An expression as it stands, and one for its true beginnings, the empty one among them."""

    whole: str
    beginning: str = ""


def beginnings(expression: str) -> str:
    """An RE2 expression for every true beginning of a match of `expression`; it has no groups that capture.

    Raises:
        NotUnderstood: there is no telling.
    """
    flags = ""
    while found := _FLAGS.match(expression):
        flags += found.group()
        expression = expression[found.end() :]
    part, end = _alternatives(expression, 0)
    if end != len(expression):
        raise NotUnderstood("unbalanced parentheses")
    return f"{flags}(?:{part.beginning})"


def _alternatives(text: str, at: int) -> tuple[_Part, int]:
    """What stands up to the end of the group, and where that is."""
    branches: list[_Part] = []
    while True:
        parts, at = _sequence(text, at)
        branches.append(_joined(parts))
        if at == len(text) or text[at] == ")":
            break
        at += 1
    whole = "|".join(branch.whole for branch in branches)
    return _Part(f"(?:{whole})", "|".join(branch.beginning for branch in branches)), at


def _sequence(text: str, at: int) -> tuple[list[_Part], int]:
    parts: list[_Part] = []
    while at < len(text) and text[at] not in "|)":
        if repeat := _REPEAT.match(text, at):
            if not parts:
                raise NotUnderstood("nothing to repeat")
            parts[-1] = _repeated(parts[-1], repeat)
            at = repeat.end()
        else:
            part, at = _single(text, at)
            parts.append(part)
    return parts, at


def _single(text: str, at: int) -> tuple[_Part, int]:
    """A character, a class, an assertion or a group."""
    if found := _GROUP.match(text, at):
        part, end = _alternatives(text, found.end())
        if end == len(text):
            raise NotUnderstood("unbalanced parentheses")
        return part, end + 1
    if text[at] == "(":
        raise NotUnderstood("flags amid the expression")
    found = _ASSERTION.match(text, at) or _ESCAPED.match(text, at) or _CLASS.match(text, at)
    if found is not None:
        return _Part(found.group()), found.end()
    if text[at] in "\\[":
        raise NotUnderstood(f"{text[at : at + 2]} is not known")
    # RE2 takes a brace that is no repetition as itself.
    return _Part("\\{" if text[at] == "{" else text[at]), at + 1


def _repeated(part: _Part, repeat: re.Match[str]) -> _Part:
    whole = f"(?:{part.whole}){repeat.group()}"
    if repeat["sign"] == "?":
        return _Part(whole, part.beginning)
    if repeat["sign"] or (repeat["comma"] and not repeat["high"]):
        return _Part(whole, f"(?:{part.whole})*(?:{part.beginning})")
    most = int(repeat["high"] or repeat["low"])
    return _Part(whole, f"(?:{part.whole}){{0,{most - 1}}}(?:{part.beginning})" if most else "")


def _joined(parts: list[_Part]) -> _Part:
    """One after the other: a beginning of the first, or the first and a beginning of the others."""
    beginning = ""
    for part in reversed(parts):
        others = f"{part.whole}(?:{beginning})" if part is not parts[-1] else ""
        beginning = f"{part.beginning}|{others}" if others else part.beginning
    return _Part("".join(part.whole for part in parts), beginning)
