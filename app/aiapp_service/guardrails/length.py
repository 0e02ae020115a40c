"""Length: how many characters a request, or a choice of an answer, may have, all its texts together."""

from aiapp_service.guardrails.passage import Place


class Length:
    """Counts as the texts come; what is beyond the limit is a violation at once."""

    def __init__(self, most: int) -> None:
        self.violated = False
        self._left = most

    def feed(self, _place: Place, text: str) -> str:
        """The text."""
        self._left -= len(text)
        self.violated = self._left < 0
        return text

    def finish(self, _place: Place) -> str:
        """Nothing was held back."""
        return ""

    async def conclude(self) -> None:
        """All is known already."""
