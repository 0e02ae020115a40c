"""All guardrails over the texts of one request, or of one choice: each gets what the one before has let through."""

import asyncio
from collections.abc import Iterable, Sequence

from aiapp_service.config import GuardrailAction
from aiapp_service.guardrails.passage import Guardrail, Place

# From so many characters on other requests should not wait for the scan.
_THREAD_CHARACTERS = 64 * 1024


class Chain:
    """The guardrails in their order, begun anew.

    `blocked` is the one that ended it; nothing of what is fed may be shown then. `violations` are those that found
    something, in the order in which they did.
    """

    def __init__(self, guardrails: Sequence[Guardrail]) -> None:
        self.blocked: Guardrail | None = None
        self.violations: list[Guardrail] = []
        self._passages = [(guardrail, guardrail.begin()) for guardrail in guardrails]
        self._places: dict[Place, None] = {}

    def feed(self, place: Place, text: str) -> str:
        """What of the text may go on now."""
        self._places[place] = None
        for guardrail, passage in self._passages:
            text = passage.feed(place, text)
            self._note(guardrail, violated=passage.violated)
            if self.blocked:
                return ""
        return text

    def finish(self, place: Place) -> str:
        """The text of this place is complete: what was held back of it."""
        rest = ""
        for guardrail, passage in self._passages:
            rest = (passage.feed(place, rest) if rest else "") + passage.finish(place)
            self._note(guardrail, violated=passage.violated)
            if self.blocked:
                return ""
        return rest

    def finish_all(self) -> list[tuple[Place, str]]:
        """What was held back, by place."""
        return [(place, rest) for place in self._places if (rest := self.finish(place))]

    async def conclude(self) -> None:
        """All is said.

        Raises:
            Unavailable: a guardrail's judge could not be asked.
        """
        for guardrail, passage in self._passages:
            if self.blocked:
                return
            await passage.conclude()
            self._note(guardrail, violated=passage.violated)

    async def whole(self, texts: Iterable[tuple[Place, str]]) -> list[str]:
        """What becomes of complete texts, one for each of them; nothing counts once `blocked`.

        Raises:
            Unavailable: a guardrail's judge could not be asked.
        """
        given = list(texts)
        if sum(len(text) for _, text in given) > _THREAD_CHARACTERS:
            results = await asyncio.to_thread(self._scan, given)
        else:
            results = self._scan(given)
        await self.conclude()
        return results

    def _scan(self, texts: Sequence[tuple[Place, str]]) -> list[str]:
        results = []
        for place, text in texts:
            if self.blocked:
                break
            shown = self.feed(place, text)
            results.append(shown + self.finish(place))
        return results

    def _note(self, guardrail: Guardrail, *, violated: bool) -> None:
        if not violated or guardrail in self.violations:
            return
        self.violations.append(guardrail)
        guardrail.counts()
        if guardrail.action is GuardrailAction.BLOCK and self.blocked is None:
            self.blocked = guardrail
