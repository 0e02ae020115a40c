"""`python -m tests.bench.retrieval`: reading documents into vector stores, searching, and how well it finds.

Ingestion: 1,000 documents of 2 kB through one process that is a worker (jobs from a real Redis, files from a real S3
server, the Mock embedder, a real PostgreSQL with pgvector). Search: 100,000 chunks of 384 dimensions in one store.
Quality: see `tests.bench.corpus`; with EMBEDDINGS_URL, the base URL of an OpenAI-compatible server, a real model makes
the vectors, else words hashed to dimensions do, which know nothing of meaning.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from aiapp_service.config import DatabaseConfig
from aiapp_service.stores.postgres import Database
from tests.bench.retrieval_ingestion import ingestion
from tests.bench.retrieval_quality import quality
from tests.bench.retrieval_search import search
from tests.integration.servers.objects import object_server
from tests.integration.servers.postgres import Postgres, postgres, programs_with_vector
from tests.integration.servers.redis import redis_server

PARTS = ("ingestion", "quality", "search")


def main(parts: tuple[str, ...]) -> None:
    """Run the named parts, or all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with (
            postgres(folder / "postgres", programs_with_vector()) as server,
            redis_server(folder / "redis") as redis,
            object_server(folder / "objects") as objects,
        ):
            url_file = folder / "postgres-url"
            url_file.write_text(server.new_database("bench"))
            server.allow_vector("bench")
            from aiapp_service.db.migrate import migrate  # noqa: PLC0415  # the other benchmarks need no database

            assert migrate(url_file, folder / "result") == 0
            if "ingestion" in parts:
                ingestion(folder, url_file, server, redis, objects)
            asyncio.run(_searches(url_file, url_file.read_text(), server, parts))


async def _searches(url_file: Path, url: str, server: Postgres, parts: tuple[str, ...]) -> None:
    database = Database(DatabaseConfig(url_file=url_file))
    try:
        if "quality" in parts:
            await quality(database, url)
        if "search" in parts:
            await search(database, url, server)
    finally:
        await database.close()


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or PARTS)
