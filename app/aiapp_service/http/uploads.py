"""The OpenAI Uploads API: a file in parts, that may come at once and in any order."""

import mimetypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

from aiapp_service.gateway import Gateway
from aiapp_service.http import bodies, form, pages
from aiapp_service.http.calls import CALL
from aiapp_service.http.errors import ApiError, bad_request
from aiapp_service.http.files import EXPIRY_SECONDS, FilesApi, answered, document

if TYPE_CHECKING:
    from aiapp_service.storage.files import File
    from aiapp_service.storage.uploads import FileUpload, Uploads

PATH = "/v1/uploads"
_ONE = f"{PATH}/{{id}}"
_MD5 = re.compile(r"[0-9a-fA-F]{32}", re.ASCII)


class UploadsApi:
    """Handlers below /v1/uploads; `files` has what they are kept with."""

    def __init__(self, files: FilesApi, gateway: Gateway) -> None:
        self._files = files
        self._gateway = gateway

    @property
    def _uploads(self) -> "Uploads":
        return self._files.kept().uploads

    def add_to(self, app: web.Application) -> None:
        """Register the paths."""
        app.router.add_post(PATH, self.create)
        app.router.add_post(f"{_ONE}/parts", self.add_part)
        app.router.add_post(f"{_ONE}/complete", self.complete)
        app.router.add_post(f"{_ONE}/cancel", self.cancel)

    async def create(self, request: web.Request) -> web.Response:
        """POST /v1/uploads: filename, purpose, bytes, mime_type, expires_after."""
        uploads = self._uploads
        new = _new(await bodies.read_object(request), self._gateway.current.config.files.max_bytes)
        with _answered():
            made = await uploads.create(request[CALL].principal.tenant, new)
        return web.json_response(_document(made))

    async def add_part(self, request: web.Request) -> web.Response:
        """POST /v1/uploads/ID/parts: a form with `data`."""
        from aiapp_service.storage.uploads import MOST_PART_BYTES  # noqa: PLC0415  # loads the driver

        uploads, upload = self._uploads, await self._asked(request)
        form.refuse_what_is_too_large(request, MOST_PART_BYTES)
        part = None
        with _answered(), answered(min(MOST_PART_BYTES, upload.bytes)):
            async with self._files.one_of_few():
                async for entry in form.parts(request, frozenset({"data"})):
                    if not isinstance(entry, form.FilePart):
                        raise bad_request(f"{entry.name[:50]!r} is no field; there is data", "data")
                    if part is not None:
                        raise bad_request("one part at a time", "data")
                    part = await uploads.add(upload, entry.chunks)
        if part is None:
            raise bad_request("data is required, as a file of the form", "data")
        created = int(part.created_at.timestamp())
        told = {"id": part.id, "object": "upload.part", "created_at": created, "upload_id": upload.id}
        return web.json_response(told)

    async def complete(self, request: web.Request) -> web.Response:
        """POST /v1/uploads/ID/complete: part_ids in the order of the file, md5 if it shall be compared."""
        uploads, upload, body = self._uploads, await self._asked(request), await bodies.read_object(request)
        ids, md5, tenant = body.get("part_ids"), body.get("md5"), request[CALL].principal.tenant
        if not isinstance(ids, list) or not ids or not all(isinstance(id_, str) for id_ in ids):
            raise bad_request("part_ids has to be a list of the ids of parts", "part_ids")
        if md5 is not None and not (isinstance(md5, str) and _MD5.fullmatch(md5)):
            raise bad_request("md5 has to be 32 hexadecimal digits", "md5")
        with _answered():
            async with self._files.one_of_few():
                file = await uploads.complete(tenant, upload, ids, md5)
            return web.json_response(_document(await uploads.get(tenant, upload.id), file))

    async def cancel(self, request: web.Request) -> web.Response:
        """POST /v1/uploads/ID/cancel."""
        uploads, upload = self._uploads, await self._asked(request)
        with _answered():
            return web.json_response(_document(await uploads.cancel(request[CALL].principal.tenant, upload)))

    async def _asked(self, request: web.Request) -> "FileUpload":
        uploads = self._uploads
        with _answered():
            return await uploads.get(request[CALL].principal.tenant, request.match_info["id"])


def _new(body: dict[str, Any], most_bytes: int) -> dict[str, Any]:
    from aiapp_service.storage.purposes import Purpose  # noqa: PLC0415  # for a light start

    filename, purpose, size = body.get("filename"), body.get("purpose"), body.get("bytes")
    if not isinstance(filename, str) or not form.is_filename(filename):
        raise bad_request(f"filename has to be a name of at most {form.MOST_NAME} characters, no path", "filename")
    if not isinstance(purpose, str) or purpose not in set(Purpose):
        raise bad_request(f"purpose has to be one of {', '.join(Purpose)}", "purpose")
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise bad_request("bytes has to be the size of the file, at least 1", "bytes")
    if size > most_bytes:
        raise form.too_large(most_bytes)
    told = body.get("mime_type")
    if told is not None and not (isinstance(told, str) and form.is_media_type(told)):
        raise bad_request("mime_type has to be a media type, as application/pdf is", "mime_type")
    content_type = told or mimetypes.guess_type(filename)[0] or "application/octet-stream"
    keep = _keep_seconds(body.get("expires_after"))
    return {
        "filename": filename,
        "purpose": purpose,
        "content_type": content_type,
        "bytes": size,
        "keep_seconds": keep,
    }


def _keep_seconds(given: Any) -> int | None:
    if given is None:
        return None
    if not isinstance(given, dict) or given.get("anchor") != "created_at":
        raise bad_request("expires_after.anchor has to be created_at", "expires_after")
    return pages.number(str(given.get("seconds", "")), "expires_after.seconds", EXPIRY_SECONDS)


def _document(upload: "FileUpload", file: "File | None" = None) -> dict[str, Any]:
    """An upload as the OpenAI API has it."""
    return {
        "id": upload.id,
        "object": "upload",
        "bytes": upload.bytes,
        "created_at": int(upload.created_at.timestamp()),
        "expires_at": int(upload.expires_at.timestamp()),
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": upload.status,
        "file": None if file is None else document(file),
    }


@contextmanager
def _answered() -> Iterator[None]:
    """Raises ApiError in place of what uploads raise."""
    from aiapp_service.storage.uploads import UploadMissing, UploadRefused  # noqa: PLC0415  # for a light start

    try:
        with answered():
            yield
    except UploadMissing as error:
        message = f"there is no upload {str(error)[:100]!r}"
        raise ApiError(404, message, param="id", code="upload_not_found") from error
    except UploadRefused as error:
        raise bad_request(str(error), error.param, error.code) from error
