"""The OpenAI Files API, and below it one path of our own: GET /v1/files/ID/url, an address to load a file from.

A file belongs to the tenant that has uploaded it; for everybody else it is not there.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aiohttp import web

from aiapp_service.gateway import Gateway
from aiapp_service.http import form, pages
from aiapp_service.http.calls import CALL
from aiapp_service.http.errors import ApiError, bad_request, lacking, not_now
from aiapp_service.stores.breaker import StoreDown, StoreRefused

if TYPE_CHECKING:
    from aiapp_service.storage.files import Draft, File, Files

PATH = "/v1/files"
_ONE = f"{PATH}/{{id}}"
_UNAVAILABLE = "files_unavailable"
# Each holds a part of 8 MiB, and what is on its way.
MOST_UPLOADS = 16
WAIT_SECONDS = 20.0
MOST_LISTED = 10_000
EXPIRY_SECONDS = (3600, 30 * 24 * 3600)
_URL_SECONDS = (60, 24 * 3600)
_FIELDS = ("purpose", "expires_after[anchor]", "expires_after[seconds]")
NO_OBJECT_STORE = "files are not kept: this app has no object store; give it one with spec.objectStore"
NO_DATABASE = "files are not kept: this app has no PostgreSQL; give it one with spec.postgres"


class FilesApi:
    """Handlers below /v1/files; without an object store or a database they say what is missing."""

    def __init__(self, files: "Files | None", gateway: Gateway, missing: str = NO_OBJECT_STORE) -> None:
        self._files = files
        self._gateway = gateway
        self._missing = missing
        self._turn = asyncio.Semaphore(MOST_UPLOADS)

    def add_to(self, app: web.Application) -> None:
        """Register the paths."""
        app.router.add_post(PATH, self.upload)
        app.router.add_get(PATH, self.list)
        app.router.add_get(_ONE, self.retrieve)
        app.router.add_delete(_ONE, self.delete)
        app.router.add_get(f"{_ONE}/content", self.content)
        app.router.add_get(f"{_ONE}/url", self.url)

    async def upload(self, request: web.Request) -> web.Response:
        """POST /v1/files: file, purpose, expires_after; in any order."""
        files, most = self.kept(), self._gateway.current.config.files.max_bytes
        form.refuse_what_is_too_large(request, most)
        with answered(most):
            async with self.one_of_few(), files.draft(request[CALL].principal.tenant) as draft:
                fields = await _received(request, draft, most)
                purpose, expires_after = _purpose(fields, draft.head), _expires_after(fields)
                return web.json_response(document(await draft.keep(purpose, expires_after)))

    async def list(self, request: web.Request) -> web.Response:
        """GET /v1/files?purpose=&limit=&order=&after="""
        files, query = self.kept(), request.query
        newest_first = pages.is_newest_first(query)
        limit = pages.limit_of(query, MOST_LISTED, MOST_LISTED)
        with answered():
            found, more = await files.list(
                request[CALL].principal.tenant,
                purpose=query.get("purpose"),
                limit=limit,
                after=query.get("after") or None,
                newest_first=newest_first,
            )
        ends = {"first_id": found[0].id if found else None, "last_id": found[-1].id if found else None}
        data = [document(file) for file in found]
        return web.json_response({"object": "list", "data": data, **ends, "has_more": more})

    async def retrieve(self, request: web.Request) -> web.Response:
        """GET /v1/files/ID."""
        return web.json_response(document(await self._asked(request)))

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /v1/files/ID."""
        files, id_ = self.kept(), request.match_info["id"]
        with answered():
            await files.delete(request[CALL].principal.tenant, id_)
        return web.json_response({"id": id_, "object": "file", "deleted": True})

    async def content(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/files/ID/content; with Range a part of it."""
        from aiapp_service.http.file_content import send  # noqa: PLC0415  # loads the driver

        files, file = self.kept(), await self._asked(request)
        with answered():
            return await send(request, files, file)

    async def url(self, request: web.Request) -> web.Response:
        """GET /v1/files/ID/url?expires_in=SECONDS: who has the address needs no key until it expires."""
        files, file = self.kept(), await self._asked(request)
        seconds = pages.number(request.query.get("expires_in", "3600"), "expires_in", _URL_SECONDS)
        with answered():
            address = await files.url(file, seconds)
        expires = datetime.now(UTC) + timedelta(seconds=seconds)
        return web.json_response({"object": "file.url", "url": address, "expires_at": int(expires.timestamp())})

    def kept(self) -> "Files":
        """Raises ApiError where there are none."""
        if self._files is None:
            raise lacking(self._missing, "files_not_kept")
        return self._files

    async def _asked(self, request: web.Request) -> "File":
        files = self.kept()
        with answered():
            return await files.get(request[CALL].principal.tenant, request.match_info["id"])

    @asynccontextmanager
    async def one_of_few(self) -> AsyncIterator[None]:
        """Memory is for so many uploads at once; others wait, with their bodies unread."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turn.acquire()
        except TimeoutError as error:
            raise not_now("files cannot be reached now: too many uploads at once", _UNAVAILABLE) from error
        try:
            yield
        finally:
            self._turn.release()


async def _received(request: web.Request, draft: "Draft", most: int) -> dict[str, str]:
    """Take the form in; gives its fields."""
    fields: dict[str, str] = {}
    async for part in form.parts(request, frozenset({"file"})):
        if isinstance(part, form.Field):
            if part.name not in _FIELDS:
                raise bad_request(f"{part.name[:50]!r} is no field; there are file, {', '.join(_FIELDS)}", "file")
            fields[part.name] = part.value
        elif draft.received:
            raise bad_request("one file at a time", "file")
        else:
            if "purpose" in fields:
                _purpose(fields, None)
            await draft.receive(part.filename, part.content_type, part.chunks, most)
    if not draft.received:
        raise bad_request("file is required", "file")
    return fields


def _purpose(fields: dict[str, str], head: bytes | None) -> str:
    """What the file is for; with `head` it is looked at whether the file can be that."""
    from aiapp_service.storage.purposes import Purpose, complaint  # noqa: PLC0415  # for a light start

    given = fields.get("purpose", "")
    if given not in set(Purpose):
        raise bad_request(f"purpose has to be one of {', '.join(Purpose)}", "purpose")
    if head is not None and (wrong := complaint(Purpose(given), head)):
        raise bad_request(wrong, "file", "invalid_file_format")
    return given


def _expires_after(fields: dict[str, str]) -> timedelta | None:
    seconds = fields.get("expires_after[seconds]")
    if seconds is None and "expires_after[anchor]" not in fields:
        return None
    if fields.get("expires_after[anchor]") != "created_at":
        raise bad_request("expires_after.anchor has to be created_at", "expires_after")
    return timedelta(seconds=pages.number(seconds or "", "expires_after.seconds", EXPIRY_SECONDS))


def document(file: "File") -> dict[str, Any]:
    """A file as the OpenAI API has it."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": int(file.expires_at.timestamp()) if file.expires_at else None,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": file.status,
        "status_details": None,
    }


@contextmanager
def answered(most: int = 0) -> Iterator[None]:
    """Raises ApiError in place of what storage raises."""
    from aiapp_service.storage.files import FileMissing  # noqa: PLC0415  # for a light start
    from aiapp_service.storage.objects import ObjectMissing, TooLarge  # noqa: PLC0415  # for a light start

    try:
        yield
    except FileMissing as error:
        raise ApiError(404, f"there is no file {str(error)[:100]!r}", param="id", code="file_not_found") from error
    except ObjectMissing as error:
        message = "the content of this file is gone from the object store"
        raise ApiError(410, message, type_="server_error", code="file_content_missing") from error
    except TooLarge as error:
        raise form.too_large(most or error.limit) from error
    except StoreDown as error:
        raise not_now(f"files cannot be reached now: {error}", _UNAVAILABLE) from error
    except StoreRefused as error:
        message = f"files cannot be reached until this app is mended: {error}"
        raise ApiError(503, message, type_="server_error", code=_UNAVAILABLE) from error
