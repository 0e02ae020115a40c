"""Guardrails that find places in a text: each rule looks through it, Redact replaces what it finds."""

from collections.abc import Callable, Sequence
from typing import Any

from aiapp_service.config import GuardrailAction
from aiapp_service.guardrails.passage import Place
from aiapp_service.guardrails.rules import Rule
from aiapp_service.guardrails.window import Window

# Whether the kinds found in one text so far make a violation.
Weigh = Callable[[set[str]], bool]
# Texts are looked through in blocks: results are the same, and the work for each match stays small.
_BLOCK_CHARACTERS = 8192


class Scanner:
    """All rules of one guardrail, in order; `gate` is `gate_of` them. Texts of `trusted` roles are not looked at."""

    def __init__(
        self,
        rules: Sequence[Rule],
        gate: Any,
        action: GuardrailAction,
        weigh: Weigh = bool,
        trusted: frozenset[str] = frozenset(),
    ) -> None:
        self.violated = False
        self._rules = rules
        self._gate = gate
        # Audit changes nothing, so nothing waits for it.
        self._audits = action is GuardrailAction.AUDIT
        self._weigh = weigh
        self._trusted = trusted
        self._windows: dict[Place, list[Window]] = {}
        self._kinds: dict[Place, set[str]] = {}

    def feed(self, place: Place, text: str) -> str:
        """What cannot be part of a match any more."""
        if place.role in self._trusted:
            return text
        if len(text) <= _BLOCK_CHARACTERS:
            return self._through(place, text, final=False)
        blocks = range(0, len(text), _BLOCK_CHARACTERS)
        return "".join([self._through(place, text[n : n + _BLOCK_CHARACTERS], final=False) for n in blocks])

    def finish(self, place: Place) -> str:
        """What was held back."""
        return self._through(place, "", final=True) if place in self._windows else ""

    async def conclude(self) -> None:
        """All is known already."""

    def _through(self, place: Place, text: str, *, final: bool) -> str:
        windows = self._windows.get(place)
        if windows is None:
            windows = self._windows[place] = [Window(rule) for rule in self._rules]
        # Half a character, as JSON may have it, is none.
        piece = text.encode("utf-8", "replace")
        if self._nothing_in(windows, piece):
            for window in windows:
                window.pass_by(piece)
            return text
        for window in windows:
            if final and not piece and window.idle is not None:
                continue
            piece, kinds = window.feed(piece, final=final)
            if kinds:
                self._note(place, kinds)
        return text if self._audits else piece.decode()

    def _nothing_in(self, windows: Sequence[Window], piece: bytes) -> bool:
        """One look in place of one for each rule, which is enough for most pieces of most texts."""
        before = windows[0].idle
        if self._gate is None or not piece or any(window.idle != before for window in windows) or before is None:
            return False
        text = before + piece
        return bool(self._gate.search(text, len(before)).start() == len(text))

    def _note(self, place: Place, kinds: Sequence[str]) -> None:
        known = self._kinds.setdefault(place, set())
        known.update(kinds)
        self.violated = self.violated or self._weigh(known)
