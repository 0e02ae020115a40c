"""What the API runs with right now: routes and stages, made of a configuration and replaced as a whole by the next one.

A request keeps what it began with to its end, so a new configuration neither drops a stream nor mixes two truths.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aiapp_service.auth.doorkeeper import Doorkeeper
from aiapp_service.config import ServiceConfig
from aiapp_service.files import WatchedFiles
from aiapp_service.llm.router import Router
from aiapp_service.llm.tuned import Tuned, joined
from aiapp_service.pipeline.exchange import Next
from aiapp_service.prompts.stage import Prompts
from aiapp_service.responses.store import ResponseStore

if TYPE_CHECKING:
    from aiapp_service.retrieval.service import VectorStores


@dataclass(frozen=True)
class Running:
    """One configuration at work."""

    config: ServiceConfig
    router: Router
    run: Next
    doorkeeper: Doorkeeper
    responses: ResponseStore
    prompts: Prompts
    files: WatchedFiles
    vector_stores: "VectorStores | None" = None


class Gateway:
    """Holds the current one. `build` makes one of a configuration and of the one before, which knows its backends."""

    def __init__(self, config: ServiceConfig, build: Callable[[ServiceConfig, Running | None], Running]) -> None:
        self._build = build
        self._tuned: Sequence[Tuned] = ()
        self.current = build(config, None)
        self.current.router.succeed(None)

    def replace(self, config: ServiceConfig) -> None:
        """Take in a new configuration, for requests that come from now on.

        Raises:
            ValueError, OSError: it cannot be taken in; the current one goes on.
        """
        before, self.current = self.current, self._built(config)
        self.current.router.succeed(before.router)

    def tune(self, models: Sequence[Tuned]) -> None:
        """Take in the models that came of fine-tuning, all there are; nothing happens where they are known already."""
        if list(models) != list(self._tuned):
            self._tuned = tuple(models)
            self.replace(self.current.config)

    def _built(self, config: ServiceConfig) -> Running:
        running = self._build(joined(config, self._tuned), self.current)
        # Who asks for the configuration wants it as it was given.
        return replace(running, config=config)
