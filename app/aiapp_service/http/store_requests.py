"""What requests about vector stores have in common: the parts that must be there, errors, pages of lists."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from aiapp_service.http import pages
from aiapp_service.http.errors import ApiError, lacking, not_now
from aiapp_service.http.files import answered as files_answered
from aiapp_service.stores.breaker import StoreDown, StoreRefused

if TYPE_CHECKING:
    from aiapp_service.retrieval.rows import Page, Store
    from aiapp_service.retrieval.service import VectorStores

T = TypeVar("T")

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
    return lacking(message, "vector_stores_not_kept")


@contextmanager
def answered() -> Iterator[None]:
    """Raises ApiError in place of what storage, index and models raise."""
    from aiapp_service.retrieval.service import NotHere  # noqa: PLC0415  # loads the driver

    try:
        yield
    except NotHere as error:
        raise not_here(str(error)) from error
    except StoreDown as error:
        raise not_now(f"vector stores cannot be reached now: {error}") from error
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
    from aiapp_service.retrieval.rows import Page  # noqa: PLC0415  # for a light start

    return Page(
        pages.limit_of(query), pages.is_newest_first(query), query.get("after") or None, query.get("before") or None
    )


def listed(found: Sequence[T], page: "Page", document: Callable[[T], Mapping[str, Any]]) -> dict[str, Any]:
    """A page as the API has it; `found` has one more than it, where there are more."""
    return pages.page([document(entry) for entry in found], page.limit)
