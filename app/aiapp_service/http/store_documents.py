"""Vector stores, files in them, batches and what was found, as the OpenAI API has them."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from aiapp_service.retrieval.index import Hit
    from aiapp_service.retrieval.rows import Counts, Store, StoreFile

_FIELDS = ("in_progress", "completed", "failed", "cancelled", "total")


def counted(counts: "Counts") -> dict[str, int]:
    """Files by status."""
    return {name: getattr(counts, name) for name in _FIELDS}


def store_document(store: "Store", counts: "Counts", usage_bytes: int) -> dict[str, Any]:
    """A vector store."""
    days = store.expires_days
    expires = None if days is None else store.last_active_at + timedelta(days=days)
    status = "expired" if store.expired else "in_progress" if counts.in_progress else "completed"
    return {
        "id": store.id,
        "object": "vector_store",
        "created_at": int(store.created_at.timestamp()),
        "name": store.name,
        "usage_bytes": usage_bytes,
        "file_counts": counted(counts),
        "status": status,
        "expires_after": None if days is None else {"anchor": "last_active_at", "days": days},
        "expires_at": None if expires is None else int(expires.timestamp()),
        "last_active_at": int(store.last_active_at.timestamp()),
        "metadata": store.metadata,
    }


def file_document(file: "StoreFile") -> dict[str, Any]:
    """A file in a vector store."""
    failed = file.error_code is not None
    return {
        "id": file.file,
        "object": "vector_store.file",
        "created_at": int(file.created_at.timestamp()),
        "vector_store_id": file.store,
        "status": file.status,
        "last_error": {"code": file.error_code, "message": file.error_message} if failed else None,
        "usage_bytes": file.usage_bytes,
        "attributes": file.attributes,
        "chunking_strategy": file.strategy.document(),
    }


def batch_document(id_: str, store: str, created_at: "datetime", counts: "Counts") -> dict[str, Any]:
    """A batch of files."""
    status = "in_progress"
    if not counts.in_progress:
        # What was done before it was cancelled stays done.
        status = "cancelled" if counts.cancelled else "failed" if counts.total == counts.failed > 0 else "completed"
    return {
        "id": id_,
        "object": "vector_store.files_batch",
        "created_at": int(created_at.timestamp()),
        "vector_store_id": store,
        "status": status,
        "file_counts": counted(counts),
    }


def hit_document(hit: "Hit") -> dict[str, Any]:
    """A chunk that was found. `position` is ours: characters of the file's text, and the page."""
    return {
        "file_id": hit.file,
        "filename": hit.filename,
        "score": round(hit.score, 6),
        "attributes": hit.attributes,
        "content": [{"type": "text", "text": hit.text}],
        "position": {"start": hit.start, "end": hit.end, "page": hit.page},
    }
