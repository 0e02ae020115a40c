"""What all guardrails have in common: a passage for each request and each choice of an answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from aiapp_service.config import GuardrailAction


class Place(NamedTuple):
    """Where a text stands: whose it is, in which field, and the number of the message or tool call."""

    role: str
    field: str = "content"
    number: int = 0


class Unavailable(Exception):
    """Whoever judges could not be asked. The message is fit for clients."""


class Passage(Protocol):
    """One guardrail over the texts of one request, or of one choice, in pieces as they come."""

    violated: bool

    def feed(self, place: Place, text: str) -> str:
        """What of the text may go on now."""

    def finish(self, place: Place) -> str:
        """The text of this place is complete: what was held back of it."""

    async def conclude(self) -> None:
        """All is said. Raises Unavailable where a judge could not be asked."""


@dataclass(frozen=True)
class Guardrail:
    """One that is configured. `counts` takes note of a violation.

    `distrusts`: it looks at what clients put into prompts by itself, whoever the message belongs to.
    """

    name: str
    action: GuardrailAction
    begin: Callable[[], Passage]
    counts: Callable[[], None]
    distrusts: bool = False
