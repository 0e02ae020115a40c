"""Putting uploaded files into a vector store."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiapp_service.http.attributes import attributes
from aiapp_service.http.errors import bad_request
from aiapp_service.http.store_requests import answered, uploaded
from aiapp_service.pipeline.principal import Principal
from aiapp_service.retrieval.chunking import Strategy
from aiapp_service.retrieval.rows import NewFile, StoreFile
from aiapp_service.retrieval.service import VectorStores
from aiapp_service.stores.breaker import StoreDown

MOST_FILES = 500


async def new_files(stores: VectorStores, principal: Principal, body: Mapping[str, Any]) -> list[NewFile]:
    """The files of a request: `file_ids` that share attributes and chunking, or `files` with their own.

    Raises:
        ApiError: names the field that is wrong, or the file that is not there; nothing has been done then.
    """
    ids, files = body.get("file_ids"), body.get("files")
    if (ids is None) == (files is None):
        raise bad_request("give exactly one of file_ids and files", "file_ids")
    given = [{**_shared(body), "file_id": id_} for id_ in _list(ids, "file_ids")] if ids is not None else files
    entries = _list(given, "files")
    return [
        await new_file(stores, principal, entry, f"files[{n}]." if files else "") for n, entry in enumerate(entries)
    ]


async def new_file(stores: VectorStores, principal: Principal, given: Any, place: str = "") -> NewFile:
    """One file of a request.

    Raises:
        ApiError: names the field that is wrong, or the file that is not there.
    """
    name = given.get("file_id") if isinstance(given, dict) else None
    if not isinstance(name, str) or not name or "\x00" in name:
        raise bad_request(f"{place}file_id is required, and has to be the id of a file", f"{place}file_id")
    found, strategy = (
        attributes(given.get("attributes"), f"{place}attributes"),
        Strategy.of(given.get("chunking_strategy")),
    )
    with uploaded():
        # Whether the files can be read is looked at before anything is written.
        _ = stores.queues
        file = await stores.contents.get(principal.tenant, name)
    return NewFile(file.id, file.filename, found, strategy)


async def attach(
    stores: VectorStores, principal: Principal, store: str, files: Sequence[NewFile], batch: str | None = None
) -> list[StoreFile]:
    """Put files into a store and have them read; gives those that were not in it.

    Raises:
        ApiError: the queue does not answer; the files have failed then, and can be put in again.
    """
    if not files:
        return []
    with answered():
        added = await stores.files.add(principal.tenant, store, files, batch, principal.key)
        try:
            await stores.read(principal.tenant, added, principal.key)
        except StoreDown:
            for file in added:
                await stores.index.delete(principal.tenant, store, file.file)
            raise
    return added


def _shared(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body.get(name) for name in ("attributes", "chunking_strategy")}


def _list(given: Any, field: str) -> list[Any]:
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_FILES:
        raise bad_request(f"{field} has to be a list of 1 to {MOST_FILES}", field)
    return given
