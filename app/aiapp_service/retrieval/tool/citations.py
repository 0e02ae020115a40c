"""Marks with which the model says what it has from where, 【3】, become annotations of its text.

A mark is taken out of the text; its annotation tells the place where it stood.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiapp_service.retrieval.index import Hit

OPENS, CLOSES = "【", "】"
_MARK = re.compile(f"{OPENS}([0-9]{{1,4}})(?:[†:,][^{OPENS}{CLOSES}]{{0,80}})?{CLOSES}")
# A mark that is not closed within so many characters is none.
_MOST = 90


class Citations:
    """Of one text, which may come in pieces. `sources` are the hits in the order of their numbers, from 1."""

    def __init__(self, sources: "Sequence[Hit]") -> None:
        self._sources = sources
        self._held = ""
        self._length = 0
        self.found: list[dict[str, Any]] = []

    def feed(self, piece: str) -> str:
        """What can be shown of the text now."""
        text, self._held = self._held + piece, ""
        opened = text.rfind(OPENS)
        if opened >= 0 and CLOSES not in text[opened:] and len(text) - opened <= _MOST:
            text, self._held = text[:opened], text[opened:]
        return self._without_marks(text)

    def end(self) -> str:
        """What was held back."""
        text, self._held = self._held, ""
        return self._without_marks(text)

    def _without_marks(self, text: str) -> str:
        position = 0
        shown: list[str] = []
        for mark in _MARK.finditer(text):
            number = int(mark[1])
            if not 1 <= number <= len(self._sources):
                continue
            self._show(shown, text[position : mark.start()])
            position = mark.end()
            self.found.append(annotation(self._sources[number - 1], self._length))
        self._show(shown, text[position:])
        return "".join(shown)

    def _show(self, shown: list[str], text: str) -> None:
        shown.append(text)
        self._length += len(text)


def annotation(hit: "Hit", index: int) -> dict[str, Any]:
    """A citation at `index` of the text; `position` is ours: where in the file's text it stands."""
    position = {"start": hit.start, "end": hit.end, "page": hit.page}
    return {
        "type": "file_citation",
        "index": index,
        "file_id": hit.file,
        "filename": hit.filename,
        "position": position,
    }
