"""One rule over one text that comes in pieces: what is found and what may go out do not depend on the pieces.

Only the end of the text that could be the beginning of a match is held back. A candidate is decided as soon as no
further text can change it.
"""

from typing import Any

from aiapp_service.guardrails.rules import Rule

# Bytes. What looks like the beginning of a match for longer than that is let go; a match that goes on for longer
# is taken as it stands, and the rest of it is text of its own.
MOST_HELD = 8192
# Bytes held back for expressions whose beginnings are not known.
BLIND_HELD = 256


class Window:
    """Replaces what `rule` finds by [KIND]."""

    __slots__ = ("_at", "_rule", "_text")

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        # The last byte that is out already, for assertions that look back, and what is held.
        self._text = b""
        self._at = 0

    @property
    def idle(self) -> bytes | None:
        """What it remembers of the text before while it holds nothing back; None: it does hold something."""
        return self._text if self._at == len(self._text) else None

    def pass_by(self, piece: bytes) -> None:
        """Let a piece out in which, as is known already, nothing is found or begins; only while idle."""
        self._text = piece[-1:]
        self._at = 1

    def feed(self, piece: bytes, *, final: bool = False) -> tuple[bytes, list[str]]:
        """What may go out now, and the kinds that were found in it. With `final` nothing is held back."""
        text, at = self._text + piece, self._at
        gate = self._rule.gate
        if gate is not None and not final and gate.search(text, at).start() == len(text):
            self._text, self._at = text[-1:], min(len(text), 1)
            return text[at:], []
        shown = at
        out: list[bytes] = []
        kinds: list[str] = []
        while True:
            match = self._rule.pattern.search(text, at)
            hold = len(text) if final else self._hold(text, at, match)
            if match is None or match.start() >= hold:
                break
            hits = self._rule.judge(match)
            for hit in hits:
                out += (text[shown : hit.start], b"[%b]" % hit.kind.encode())
                kinds.append(hit.kind)
                shown = hit.end
            at = hits[-1].end if hits else match.end()
        out.append(text[shown:hold])
        self._text, self._at = text[max(hold - 1, 0) :], min(hold, 1)
        return b"".join(out), kinds

    def _hold(self, text: bytes, at: int, match: Any) -> int:
        """From where on the text may still become part of a match."""
        start = self._undecided(text, at, match)
        if len(text) - start > MOST_HELD:
            if match is not None and match.start() == start:
                return len(text)
            start = self._undecided(text, _character(text, len(text) - MOST_HELD), None)
        return start

    def _undecided(self, text: bytes, at: int, match: Any) -> int:
        if self._rule.tail is not None:
            return int(self._rule.tail.search(text, at).start())
        start = max(at, _character(text, len(text) - BLIND_HELD))
        # It may grow.
        grows = match is not None and match.end() == len(text)
        return min(start, match.start()) if grows else start


def _character(text: bytes, at: int) -> int:
    """The beginning of the character at `at`."""
    at = max(at, 0)
    while at > 0 and text[at] & 0xC0 == 0x80:
        at -= 1
    return at
