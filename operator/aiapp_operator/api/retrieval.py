"""spec.vectorStore: where the vectors of vector stores are kept, and which model makes them."""

from typing import Annotated, ClassVar

from pydantic import Field

from aiapp_operator.api.base import ApiModel, ModelName, Rule, SecretKeyRef

Url = Annotated[str, Field(max_length=2048, pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")]


class Pgvector(ApiModel):
    """In the AIApp's own PostgreSQL, by the extension pgvector 0.8 or later."""


class Qdrant(ApiModel):
    """In a Qdrant that somebody else runs. Collections named after the AIApp are made in it."""

    url: Url = Field(description="Address of Qdrant's REST API, like http://qdrant.team.svc:6333.")
    api_key_secret_ref: SecretKeyRef | None = Field(default=None, description="Secret entry with the API key.")


class Pinecone(ApiModel):
    """In an index of Pinecone, made with metric cosine and the embedding model's number of dimensions."""

    index_host: Url = Field(description="Host of the index, like https://docs-1a2b3c.svc.eu-west1-gcp.pinecone.io.")
    api_key_secret_ref: SecretKeyRef = Field(description="Secret entry with the API key.")


class VectorStore(ApiModel):
    """What /v1/vector_stores and the tool file_search use. At most one place is given; pgvector is the default."""

    embedding_model: ModelName | None = Field(
        default=None,
        description=(
            "Entry of spec.models, of kind Embedding, that makes the vectors of new vector stores; existing ones keep"
            " theirs. Unset: no vector stores can be made."
        ),
    )
    pgvector: Pgvector | None = Field(default=None, description="In the AIApp's own PostgreSQL.")
    qdrant: Qdrant | None = Field(default=None, description="In a Qdrant.")
    pinecone: Pinecone | None = Field(default=None, description="In an index of Pinecone.")
    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.pgvector), has(self.qdrant), has(self.pinecone)].filter(given, given).size() <= 1",
            "vectorStore: give at most one of pgvector, qdrant, pinecone",
        ),
    )
