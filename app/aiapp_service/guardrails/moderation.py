"""Moderation: an endpoint with OpenAI's /v1/moderations API judges all texts together, when they are complete.

https://platform.openai.com/docs/api-reference/moderations: `{"input": [...]}` is answered by
`{"results": [{"flagged": true, ...}, ...]}`.
"""

import logging
from collections.abc import Sequence

import aiohttp

from aiapp_service.credentials import SecretFile
from aiapp_service.guardrails.passage import Place, Unavailable
from aiapp_service.stores.breaker import Breaker, StoreDown

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 2.0


class Judge:
    """The endpoint. While it fails requests go on if `fail_open`."""

    def __init__(
        self, name: str, session: aiohttp.ClientSession, url: str, key_file: SecretFile | None, *, fail_open: bool
    ) -> None:
        self._name = name
        self._session = session
        self._url = url
        self._key_file = key_file
        self._fail_open = fail_open
        self._breaker = Breaker(f"guardrail {name}", DEADLINE_SECONDS, (aiohttp.ClientError, ValueError))

    async def flags(self, texts: Sequence[str]) -> bool:
        """Whether it objects to any of them.

        Raises:
            Unavailable: it could not be asked, and requests must not go on without.
        """
        was_down = self._breaker.down
        try:
            self._breaker.require()
            return await self._breaker.run(self._ask(texts))
        except StoreDown as error:
            if not was_down:
                log.warning("guardrail cannot be asked", extra={"guardrail": self._name, "error": str(error)})
            if self._fail_open:
                return False
            raise Unavailable(f"guardrail {self._name} cannot be asked") from error

    async def _ask(self, texts: Sequence[str]) -> bool:
        key = self._key_file.get() if self._key_file is not None else None
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        body = {"input": list(texts)}
        async with self._session.post(self._url, json=body, headers=headers, allow_redirects=False) as answer:
            if answer.status != 200:
                raise ValueError(f"answered {answer.status}")
            document = await answer.json(content_type=None)
        results = document.get("results") if isinstance(document, dict) else None
        if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
            raise ValueError("answered something else than results")
        return any(result.get("flagged") is True for result in results)


class Moderation:
    """Gathers the texts of one request or choice."""

    def __init__(self, judge: Judge) -> None:
        self.violated = False
        self._judge = judge
        self._texts: dict[Place, list[str]] = {}

    def feed(self, place: Place, text: str) -> str:
        """The text."""
        self._texts.setdefault(place, []).append(text)
        return text

    def finish(self, _place: Place) -> str:
        """Nothing was held back."""
        return ""

    async def conclude(self) -> None:
        """Ask."""
        texts = [text for pieces in self._texts.values() if (text := "".join(pieces))]
        if texts:
            self.violated = await self._judge.flags(texts)
