"""Where the vectors of vector stores are kept, and who makes them."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import StringConstraints, model_validator

from aiapp_service.config.base import Section

Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$", max_length=2048)]


class PgvectorConfig(Section):
    """In the app's own PostgreSQL."""


class QdrantConfig(Section):
    """In a Qdrant; the file holds its API key."""

    url: Url
    api_key_file: Path | None = None


class PineconeConfig(Section):
    """In an index of Pinecone; the file holds the API key."""

    index_host: Url
    api_key_file: Path


class VectorStoreConfig(Section):
    """Exactly one place. Without an embedding model nothing can be put into it."""

    embedding_model: str | None = None
    pgvector: PgvectorConfig | None = None
    qdrant: QdrantConfig | None = None
    pinecone: PineconeConfig | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(place is not None for place in (self.pgvector, self.qdrant, self.pinecone)) > 1:
            raise ValueError("vectorStore: give exactly one of pgvector, qdrant, pinecone")
        return self
