"""Vectors in an index of Pinecone, by its own client. Each tenant has a namespace of the index.

The index is made by its owner, with the metric `cosine` and the embedding model's number of dimensions.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from pinecone import AsyncIndex, PineconeError
from pinecone.errors import ApiError

from aiapp_service.config import PineconeConfig
from aiapp_service.credentials import SecretFile
from aiapp_service.retrieval.filters import Compound, Filter, Operator
from aiapp_service.retrieval.index import Place, Query
from aiapp_service.retrieval.payload import FILE, STORE, attribute, described, payload
from aiapp_service.stores.breaker import StoreDown, StoreRefused

T = TypeVar("T")

SECONDS = 5.0
# The most that one request may delete.
_AT_ONCE = 1000
_FIELD = "spec.vectorStore.pinecone"
