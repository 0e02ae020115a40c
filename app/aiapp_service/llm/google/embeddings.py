"""A request for embeddings -> some to :batchEmbedContents, and back.

https://ai.google.dev/api/embeddings
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiapp_service.llm.translated import Untranslatable, count, dicts
from aiapp_service.llm.vectors import encoded, unit

# What the API takes in one request.
MOST_TEXTS = 100


def texts_of(body: Mapping[str, Any]) -> list[str]:
    """What is to be embedded.

    Raises:
        Untranslatable: it is not all text.
    """
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise Untranslatable("input has to be a text or a list of texts: Google takes no tokens", "input")
    return texts


def batches(body: Mapping[str, Any], resource: str) -> Iterator[dict[str, Any]]:
    """Bodies for :batchEmbedContents; `resource` is the model with what stands before its name.

    Raises:
        Untranslatable: the API cannot be asked for it; names the field.
    """
    dimensions = body.get("dimensions")
    if dimensions is not None and (isinstance(dimensions, bool) or not isinstance(dimensions, int) or dimensions < 1):
        raise Untranslatable("dimensions has to be a number of at least 1", "dimensions")
    size = {"outputDimensionality": dimensions} if dimensions else {}
    texts = texts_of(body)
    for start in range(0, len(texts), MOST_TEXTS):
        part = texts[start : start + MOST_TEXTS]
        yield {"requests": [{"model": resource, "content": {"parts": [{"text": text}]}, **size} for text in part]}


def embeddings_of(answers: Sequence[Mapping[str, Any]], body: Mapping[str, Any]) -> dict[str, Any]:
    """The list of embeddings. Of another size than the model's own they are brought to unit length, as OpenAI's are.

    Raises:
        LookupError, TypeError: an answer has no vectors.
    """
    vectors = [embedding["values"] for answer in answers for embedding in answer["embeddings"]]
    if body.get("dimensions"):
        vectors = [unit(vector) for vector in vectors]
    data = [
        {"object": "embedding", "index": index, "embedding": encoded(vector, body.get("encoding_format"))}
        for index, vector in enumerate(vectors)
    ]
    return {"object": "list", "data": data, "model": body.get("model"), "usage": _usage(answers)}


def _usage(answers: Sequence[Mapping[str, Any]]) -> dict[str, int] | None:
    """None where the API does not tell it: that is not the same as none."""
    tokens = sum(count(answer.get("usageMetadata"), "promptTokenCount") for answer in answers) or sum(
        count(embedding.get("statistics"), "tokenCount")
        for answer in answers
        for embedding in dicts(answer.get("embeddings"))
    )
    return {"prompt_tokens": tokens, "total_tokens": tokens} if tokens else None
