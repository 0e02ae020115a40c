"""Configuration -> the index it asks for. The clients of other stores are loaded only where they are used."""

# ruff: noqa: PLC0415  # drivers and parsers are loaded where there is something to use them for

from aiapp_service.config import ServiceConfig
from aiapp_service.retrieval.index import Index
from aiapp_service.stores.postgres import Database


def open_index(config: ServiceConfig, database: Database) -> Index:
    """The index of an app; nothing is connected yet."""
    wanted = config.vector_store
    if wanted.qdrant is not None:
        from aiapp_service.retrieval.qdrant import open_qdrant
        from aiapp_service.retrieval.split import SplitIndex

        return SplitIndex(database, open_qdrant(wanted.qdrant, config.app))
    if wanted.pinecone is not None:
        from aiapp_service.retrieval.pinecone import open_pinecone
        from aiapp_service.retrieval.split import SplitIndex

        return SplitIndex(database, open_pinecone(wanted.pinecone))
    from aiapp_service.retrieval.pgvector import PgvectorIndex

    return PgvectorIndex(database)
