"""multipart/form-data as it comes: fields are read, files are passed on chunk by chunk."""

import mimetypes
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from aiohttp import BodyPartReader, web

from aiapp_service.http.errors import ApiError, bad_request
from aiapp_service.http.incoming import Pace

CHUNK_BYTES = 64 * 1024
MOST_FIELD_BYTES = 4096
MOST_PARTS = 32
MOST_NAME = 255
# Around the file: boundaries, headers, other fields.
OVERHEAD_BYTES = 256 * 1024
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}", re.ASCII)
_PATH = re.compile(r"[/\\]")


@dataclass(frozen=True)
class Field:
    """A part that is text."""

    name: str
    value: str


@dataclass(frozen=True)
class FilePart:
    """A part that is a file; its bytes are to be taken before the next part."""

    name: str
    filename: str
    content_type: str
    chunks: AsyncGenerator[bytes, None]


async def parts(request: web.Request, file_fields: frozenset[str]) -> AsyncIterator[Field | FilePart]:
    """What the body of `request` holds, in its order.

    Raises:
        ApiError: it is no form, comes too slowly, or a part is too large or has no name.
    """
    if request.content_type != "multipart/form-data":
        raise bad_request("the body has to be multipart/form-data")
    pace, count = Pace(), 0
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            count += 1
            if count > MOST_PARTS:
                raise bad_request(f"the form has more than {MOST_PARTS} parts")
            if not isinstance(part, BodyPartReader) or not part.name:
                raise bad_request("each part of the form needs a name, and may have no parts itself")
            if part.name in file_fields:
                yield _file(part, pace)
            else:
                yield Field(part.name, await _text(part, pace))
    except (ValueError, KeyError, web.RequestPayloadError) as error:
        raise ApiError(400, "the form cannot be decoded", headers={"Connection": "close"}) from error


def refuse_what_is_too_large(request: web.Request, most_bytes: int) -> None:
    """Raise ApiError before anything is read, where the client says how much it sends."""
    if request.content_length is not None and request.content_length > most_bytes + OVERHEAD_BYTES:
        raise too_large(most_bytes)


def too_large(most_bytes: int) -> ApiError:
    """The file has more bytes than may be."""
    message = f"the file is larger than {most_bytes} bytes; the limit is spec.api.files.maxSize of the app"
    return ApiError(413, message, param="file", code="file_too_large", headers={"Connection": "close"})


def is_filename(name: str) -> bool:
    """Whether a file may be called that."""
    return bool(name) and name.isprintable() and len(name) <= MOST_NAME and not _PATH.search(name)


def is_media_type(text: str) -> bool:
    """Whether it is one, without parameters."""
    return _MEDIA_TYPE.fullmatch(text) is not None


async def _text(part: BodyPartReader, pace: Pace) -> str:
    found = bytearray()
    while chunk := await pace.next(part.read_chunk(CHUNK_BYTES)):
        found += chunk
        if len(found) > MOST_FIELD_BYTES:
            raise bad_request(f"{part.name} is longer than {MOST_FIELD_BYTES} bytes", part.name)
    return found.decode()


def _file(part: BodyPartReader, pace: Pace) -> FilePart:
    name = part.name or ""
    filename = _PATH.split(part.filename or "")[-1]
    if not is_filename(filename):
        raise bad_request(f"{name} needs a file name of at most {MOST_NAME} characters", name)
    told = part.headers.get("Content-Type", "").partition(";")[0].strip()
    if not is_media_type(told):
        told = mimetypes.guess_type(filename)[0] or "application/octet-stream"
    return FilePart(name, filename, told, _chunks(part, pace))


async def _chunks(part: BodyPartReader, pace: Pace) -> AsyncGenerator[bytes, None]:
    while chunk := await pace.next(part.read_chunk(CHUNK_BYTES)):
        yield chunk
