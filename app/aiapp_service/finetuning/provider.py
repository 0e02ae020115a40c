"""A provider that trains: its side of OpenAI's fine-tuning API, by the SDK."""

import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, BinaryIO, Self

import openai
from openai import AsyncOpenAI

from aiapp_service.config import ProviderConfig
from aiapp_service.credentials import SecretFile
from aiapp_service.finetuning.answers import Refused, Unreachable
from aiapp_service.llm.setup import OPENAI_URL

_SECONDS = 60.0
_PAGE = 100
_UPLOAD_SECONDS = 540.0
_IN_MEMORY = 1024 * 1024
# Also a key that is refused: somebody may give another one.
_PASSING = frozenset({401, 403, 408, 409, 429})


class Trainer:
    """One provider. Each method raises Refused or Unreachable."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, provider: ProviderConfig) -> AsyncIterator[Self]:
        """Connected to it with its key as it is now."""
        key = SecretFile(provider.api_key_file).get() if provider.api_key_file is not None else None
        # Trying again is the job's business: a job that was created must not be created again.
        async with AsyncOpenAI(
            base_url=provider.base_url or OPENAI_URL, api_key=key or "none", max_retries=0, timeout=_SECONDS
        ) as client:
            yield cls(client)

    async def upload(self, filename: str, chunks: AsyncIterator[bytes]) -> str:
        """A file to train with; gives the provider's name of it."""
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
            async for chunk in chunks:
                spool.write(chunk)
            spool.seek(0)
            file: tuple[str, BinaryIO] = (filename, spool)  # type: ignore[assignment]  # it has all that is needed
            with _answering():
                made = await self._client.files.create(file=file, purpose="fine-tune", timeout=_UPLOAD_SECONDS)
            return made.id

    async def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Have it train."""
        with _answering():
            return (await self._client.fine_tuning.jobs.create(**request)).to_dict()

    async def find(self, training_file: str) -> dict[str, Any] | None:
        """The job that was created with a file, which is no other job's."""
        with _answering():
            page = await self._client.fine_tuning.jobs.list(limit=_PAGE)
        return next((job.to_dict() for job in page.data if job.training_file == training_file), None)

    async def get(self, job: str) -> dict[str, Any]:
        """As it stands."""
        with _answering():
            return (await self._client.fine_tuning.jobs.retrieve(job)).to_dict()

    async def tell(self, job: str, wanted: str) -> None:
        """Cancel, pause or resume."""
        with _answering():
            await getattr(self._client.fine_tuning.jobs, wanted)(job)

    async def events(self, job: str) -> list[dict[str, Any]]:
        """The latest events, in the order of time."""
        with _answering():
            page = await self._client.fine_tuning.jobs.list_events(job, limit=_PAGE)
        return [event.to_dict() for event in reversed(page.data)]

    async def checkpoints(self, job: str) -> list[dict[str, Any]]:
        """Checkpoints in the order of time; none where the provider knows no such thing."""
        with suppress(Refused), _answering():
            page = await self._client.fine_tuning.jobs.checkpoints.list(job, limit=_PAGE)
            return [checkpoint.to_dict() for checkpoint in reversed(page.data)]
        return []

    async def remove(self, file: str) -> None:
        """Remove an uploaded file; what cannot be removed stays."""
        with suppress(openai.OpenAIError):
            await self._client.files.delete(file)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except openai.APIStatusError as error:
        if error.status_code in _PASSING or error.status_code >= 500:
            raise Unreachable(f"the provider answered {error.status_code}") from None
        raise _refusal(error) from None
    except openai.OpenAIError as error:
        raise Unreachable(f"the provider does not answer: {type(error).__name__}") from None


def _refusal(error: openai.APIStatusError) -> Refused:
    message = f"the provider refuses it ({error.status_code})"
    if isinstance(error.body, dict) and isinstance(error.body.get("message"), str):
        message = error.body["message"][:1000]
    return Refused(message, error.code or "provider_refused", error.param)
