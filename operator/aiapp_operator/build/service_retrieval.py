"""spec.vectorStore -> where the service keeps vectors."""

from pathlib import Path

from aiapp_operator.api.app import AIApp
from aiapp_operator.build import credentials
from aiapp_service import config as service


def vector_store(app: AIApp) -> service.VectorStoreConfig:
    """The section of the configuration."""
    wanted, key = app.spec.vector_store, credentials.vector_store_credential(app)
    if wanted is None:
        return service.VectorStoreConfig()
    file = None if key is None else Path(key.file)
    qdrant, pinecone = wanted.qdrant, wanted.pinecone
    return service.VectorStoreConfig(
        embedding_model=wanted.embedding_model,
        pgvector=None if wanted.pgvector is None else service.PgvectorConfig(),
        qdrant=None if qdrant is None else service.QdrantConfig(url=qdrant.url, api_key_file=file),
        pinecone=None
        if pinecone is None or file is None
        else service.PineconeConfig(index_host=pinecone.index_host, api_key_file=file),
    )
