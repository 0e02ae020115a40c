"""Receiving bodies from clients that may be slow, but not without end.

Time is given by what has come: a client that sends byte after byte holds a connection for seconds, one with a slow
line and a large image may take minutes.
"""

import asyncio
from collections.abc import Awaitable

from aiohttp import web

from aiapp_service.http.errors import ApiError

GRACE_SECONDS = 15.0
LEAST_BYTES_PER_SECOND = 16 * 1024


async def read(request: web.Request) -> bytes:
    """The whole body.

    Raises:
        ApiError: it did not come in time.
        web.HTTPRequestEntityTooLarge: it is larger than the application takes.
    """
    try:
        return await request.read() if request.content.is_eof() else await _in_time(request)
    except TimeoutError as error:
        raise _too_slow() from error
    except web.RequestPayloadError as error:
        raise ApiError(400, "the body cannot be decoded", headers={"Connection": "close"}) from error


async def _in_time(request: web.Request) -> bytes:
    most = request.client_max_size
    body = bytearray()
    begun = asyncio.get_running_loop().time()
    async with asyncio.timeout_at(begun + GRACE_SECONDS) as limit:
        while chunk := await request.content.readany():
            body += chunk
            if len(body) > most:
                raise web.HTTPRequestEntityTooLarge(most)
            limit.reschedule(begun + GRACE_SECONDS + len(body) / LEAST_BYTES_PER_SECOND)
    return bytes(body)


class Pace:
    """For a body that is passed on as it comes: only the time that is spent on waiting for the client counts."""

    def __init__(self) -> None:
        self._left = GRACE_SECONDS

    async def next(self, read: Awaitable[bytes]) -> bytes:
        """What `read` gives.

        Raises:
            ApiError: it did not come in time, or cannot be decoded.
        """
        clock = asyncio.get_running_loop().time
        begun = clock()
        try:
            async with asyncio.timeout(self._left):
                chunk = await read
        except TimeoutError as error:
            raise _too_slow() from error
        except (web.RequestPayloadError, ValueError) as error:
            raise ApiError(400, "the body cannot be decoded", headers={"Connection": "close"}) from error
        self._left += len(chunk) / LEAST_BYTES_PER_SECOND - (clock() - begun)
        return chunk


def _too_slow() -> ApiError:
    # The rest of it is not waited for either.
    return ApiError(408, "the body came too slowly", code="request_timeout", headers={"Connection": "close"})
