"""What requests about vector stores have in common: the parts that must be there, errors, pages of lists."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from aiapp_service.http.errors import ApiError, bad_request
from aiapp_service.http.files import answered as files_answered
from aiapp_service.http.files import number
from aiapp_service.stores.breaker import StoreDown, StoreRefused

if TYPE_CHECKING:
    from aiapp_service.retrieval.rows import Page, Store
    from aiapp_service.retrieval.service import VectorStores

T = TypeVar("T")

_RETRY_SECONDS = "5"
_MOST_LISTED = 100
_LISTED = 20
NO_DATABASE = "vector stores need PostgreSQL with pgvector: give the app one with spec.postgres"


def present(stores: "VectorStores | None") -> "VectorStores":
    """The vector stores.

    Raises:
        ApiError: this app keeps none.
    """
    if stores is None:
        raise not_here(NO_DATABASE)
    return stores


def not_here(message: str) -> ApiError:
    """501: the app lacks a part."""
    return ApiError(501, message, type_="server_error", code="vector_stores_not_kept")


@contextmanager
def answered() -> Iterator[None]:
    """Raises ApiError in place of what storage, index and models raise."""
    from aiapp_service.retrieval.service import NotHere  # noqa: PLC0415  # loads the driver

    try:
        yield
    except NotHere as error:
        raise not_here(str(error)) from error
    except StoreDown as error:
        message = f"vector stores cannot be reached now: {error}"
        headers = {"Retry-After": _RETRY_SECONDS}
        raise ApiError(503, message, type_="server_error", code="store_unavailable", headers=headers) from error
    except StoreRefused as error:
        message = f"vector stores cannot be reached until this app is mended: {error}"
        raise ApiError(503, message, type_="server_error", code="store_unavailable") from error


@contextmanager
def uploaded() -> Iterator[None]:
    """The same for what is asked of the files that clients have uploaded."""
    with answered(), files_answered():
        yield


async def the_store(stores: "VectorStores", tenant: str, name: str, param: str | None = None) -> "Store":
    """One of the tenant's.

    Raises:
        ApiError: there is none of this name.
    """
    with answered():
        found = await stores.stores.get(tenant, name) if "\x00" not in name else None
    if found is None:
        message = f"there is no vector store {name[:100]!r}"
        raise ApiError(404, message, param=param or "vector_store_id", code="vector_store_not_found")
    return found


def page_of(query: Mapping[str, str]) -> "Page":
    """Which part of a list a request asks for.

    Raises:
        ApiError: names the parameter that is wrong.
    """
    from aiapp_service.retrieval.rows import Page  # noqa: PLC0415

    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise bad_request("order has to be asc or desc", "order")
    limit = number(query.get("limit", str(_LISTED)), "limit", (1, _MOST_LISTED))
    return Page(limit, order == "desc", query.get("after") or None, query.get("before") or None)


def listed(found: Sequence[T], page: "Page", document: Callable[[T], Mapping[str, Any]]) -> dict[str, Any]:
    """A page as the API has it; `found` has one more than it, where there are more."""
    data = [document(entry) for entry in found[: page.limit]]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, **ends, "has_more": len(found) > page.limit}
