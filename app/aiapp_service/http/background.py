"""What the APIs of things that a worker does have in common: batches, fine-tuning.

They need PostgreSQL for what they know, an object store for files, and Redis to wake a worker.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiapp_service.http.errors import ApiError, bad_request, lacking, not_now
from aiapp_service.stores.breaker import StoreDown, StoreRefused

if TYPE_CHECKING:
    from aiapp_service.jobs.queues import Queues
    from aiapp_service.storage.files import File, Files
    from aiapp_service.stores.postgres import Database
    from aiapp_service.surroundings import Surroundings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Background:
    """One such API; `what` is how its errors call what it is about."""

    around: "Surroundings"
    what: str

    @property
    def database(self) -> "Database":
        """Raises ApiError where something is missing that is needed."""
        self._check()
        assert self.around.database is not None  # noqa: S101  # that was checked
        return self.around.database

    @property
    def _files(self) -> "Files":
        assert self.around.files is not None  # noqa: S101  # there is a database, and so all of them
        return self.around.files

    @property
    def _queues(self) -> "Queues":
        assert self.around.queues is not None  # noqa: S101  # as above
        return self.around.queues

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Raises ApiError in place of what stores raise."""
        try:
            yield
        except (StoreDown, StoreRefused) as error:
            raise not_now(f"{self.what} cannot be looked up now: {error}; try again soon") from error

    async def file(self, tenant: str, id_: str, param: str, purpose: str) -> "File":
        """The file that the field `param` names.

        Raises:
            ApiError: there is none, or it is for something else.
        """
        from aiapp_service.storage.files import FileMissing  # noqa: PLC0415  # loaded already

        try:
            file = await self._files.get(tenant, id_)
        except FileMissing as error:
            raise ApiError(404, f"there is no file {id_[:100]!r}", code="file_not_found", param=param) from error
        if file.purpose != purpose:
            message = f"file {file.id} is for {file.purpose}: upload it with purpose {purpose}"
            raise bad_request(message, param, "wrong_purpose")
        return file

    async def wake(self, queue: str, name: str, data: Mapping[str, Any], job_id: str) -> None:
        """A worker's turn. Where Redis is down it comes when a worker looks for what was lost."""
        try:
            await self._queues[queue].enqueue(name, data, job_id=job_id, keep_result_seconds=0)
        except (StoreDown, OSError) as error:
            log.warning("a worker's turn waits", extra={"queue": queue, "job": job_id, "error": str(error)})

    def _check(self) -> None:
        around = self.around
        for there, thing, field in (
            (around.database, "PostgreSQL", "spec.postgres"),
            (around.files, "an object store", "spec.objectStore"),
            (around.queues, "Redis", "spec.redis"),
        ):
            if there is None:
                raise lacking(f"{self.what} need {thing}, which this app does not have: give it with {field}")
