"""The queues of an app as a process uses them that adds jobs: one client, opened with the first job."""

from typing import TYPE_CHECKING

from aiapp_service.config import RedisConfig

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from aiapp_service.jobs.queue import JobQueue

# Those that the workers of this service know; `usage` is a stream of its own, see billing/consumer.py.
KNOWN = ("embeddings", "batches", "fine-tune")


class Queues:
    """`queues["embeddings"]` is a queue. Nothing is loaded or connected before it is asked for."""

    def __init__(self, config: RedisConfig, app: str) -> None:
        self._config = config
        self._app = app
        self._client: Redis | None = None
        self._queues: dict[str, JobQueue] = {}

    def __getitem__(self, name: str) -> "JobQueue":
        """The queue of this name; it need not be known to any worker.

        Raises:
            OSError: the file with the URL of Redis cannot be read.
        """
        if name not in self._queues:
            # The libraries take a while to load: a service that adds no job starts without them.
            from aiapp_service.jobs.queue import JobQueue  # noqa: PLC0415  # for a light start
            from aiapp_service.jobs.redis import connect  # noqa: PLC0415  # for a light start

            if self._client is None:
                self._client = connect(self._config)
            self._queues[name] = JobQueue(name, self._client, self._app)
        return self._queues[name]

    async def close(self) -> None:
        """Give up the connections."""
        self._queues.clear()
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
