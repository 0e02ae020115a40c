"""The bytes of a file as an answer: by stream, whole or the range that is asked for."""

import asyncio
from collections.abc import AsyncGenerator
from urllib.parse import quote

from aiohttp import web

from aiapp_service.http.calls import CALL
from aiapp_service.http.errors import ApiError
from aiapp_service.storage.files import File, Files
from aiapp_service.storage.objects import ObjectStoreError

# A client that takes none of it for so long has left.
IDLE_SECONDS = 60.0


async def send(request: web.Request, files: Files, file: File) -> web.StreamResponse:
    """Answer with what is in `file`.

    Raises:
        ApiError: the range lies outside.
        ObjectStoreError: the first bytes cannot be read.
    """
    start, length = _range(request, file)
    response = web.StreamResponse(status=200 if length is None else 206, headers=_headers(file))
    response.content_length = file.bytes if length is None else length
    if length is not None:
        response.headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{file.bytes}"
    response.headers.update(request[CALL].response_headers())
    async with files.opened(file, start, length) as chunks:
        # Before the status is sent: what is wrong with the store is then an error, not an answer that breaks off.
        first = await anext(chunks, b"")
        await response.prepare(request)
        if not await _relay(request, response, first, chunks):
            request[CALL].truncated = True
            response.force_close()
            if request.transport is not None:
                request.transport.abort()
    return response


async def _relay(
    request: web.Request, response: web.StreamResponse, first: bytes, chunks: AsyncGenerator[bytes, None]
) -> bool:
    """Pass all of it on; False where it has to be broken off."""
    if request.method == "HEAD":
        return True
    try:
        chunk = first
        while chunk:
            async with asyncio.timeout(IDLE_SECONDS):
                await response.write(chunk)
            chunk = await anext(chunks, b"")
        await response.write_eof()
    except (ObjectStoreError, TimeoutError):
        return False
    return True


def _range(request: web.Request, file: File) -> tuple[int, int | None]:
    """Where to begin, and how many bytes; None: no range is asked for."""
    if "Range" not in request.headers:
        return 0, None
    try:
        asked = request.http_range
    except ValueError:
        # One of many ranges, or of another unit: whoever asks has to be content with all of it.
        return 0, None
    start = asked.start or 0
    if start < 0:
        start = max(0, file.bytes + start)
    stop = file.bytes if asked.stop is None else min(asked.stop, file.bytes)
    if start >= stop:
        headers = {"Content-Range": f"bytes */{file.bytes}"}
        raise ApiError(416, f"the range lies outside of the file's {file.bytes} bytes", param="Range", headers=headers)
    return start, stop - start


def _headers(file: File) -> dict[str, str]:
    # Never shown by a browser in the name of this host: it may hold anything.
    return {
        "Content-Type": file.content_type,
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
        "ETag": f'"{file.sha256}"',
    }
