"""Images that a request only names: had before a backend is asked which takes their bytes alone."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from aiapp_service.llm.translated import Untranslatable, dicts
from aiapp_service.outbound import NotFetched, Outbound

# Media type and bytes of what is at a URL; raises CannotFetch.
Fetch = Callable[[str], Awaitable[tuple[str, bytes]]]
MOST_IMAGES = 20
MOST_IMAGE_BYTES = 20 * 1024 * 1024
_REMEDY = "send the image as a data: URL, or list its host in spec.api.fetchHosts"


class CannotFetch(Exception):
    """What is at a URL cannot be had; the message can be told to whoever sent it."""


async def no_fetch(_url: str) -> tuple[str, bytes]:
    """Where nothing outside may be asked."""
    raise CannotFetch("its host may not be asked")


def fetching_from(hosts: Collection[str]) -> Fetch:
    """Fetches images from these hosts, and from no address inside."""
    if not hosts:
        return no_fetch
    outbound = Outbound(hosts)

    async def fetch(url: str) -> tuple[str, bytes]:
        try:
            found = await outbound.fetch(url, most_bytes=MOST_IMAGE_BYTES, content_types=("image/",))
        except NotFetched as error:
            raise CannotFetch(str(error)) from error
        return found.content_type, found.body

    return fetch


async def with_images(body: Mapping[str, Any], fetch: Fetch) -> Mapping[str, Any]:
    """`body` with data: URLs in place of those that `fetch` had to be asked for; each is asked for once.

    Raises:
        Untranslatable: an image cannot be had, or there are too many.
    """
    places: dict[str, str] = {}
    messages = body.get("messages")
    for number, message in enumerate(messages if isinstance(messages, list) else []):
        content = message.get("content") if isinstance(message, dict) else None
        for part_number, part in enumerate(content if isinstance(content, list) else []):
            if url := _url_of(part):
                places.setdefault(url, f"messages[{number}].content[{part_number}].image_url.url")
    if not places:
        return body
    if len(places) > MOST_IMAGES:
        raise Untranslatable(f"messages name more than {MOST_IMAGES} images: {_REMEDY}", "messages")
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {url: group.create_task(_fetched(url, where, fetch)) for url, where in places.items()}
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    had = {url: task.result() for url, task in tasks.items()}
    return {**body, "messages": [_filled(message, had) for message in body["messages"]]}


async def _fetched(url: str, where: str, fetch: Fetch) -> str:
    try:
        media_type, content = await fetch(url)
    except CannotFetch as error:
        raise Untranslatable(f"{where} cannot be fetched: {error}; {_REMEDY}", where) from error
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _filled(message: Any, had: Mapping[str, str]) -> Any:
    content = message.get("content") if isinstance(message, dict) else None
    if not any(_url_of(part) for part in dicts(content)):
        return message
    return {**message, "content": [_part(part, had) for part in message["content"]]}


def _part(part: Any, had: Mapping[str, str]) -> Any:
    url = _url_of(part)
    return {**part, "image_url": {"url": had[url]}} if url else part


def _url_of(part: Any) -> str | None:
    """The URL of an image that is elsewhere."""
    if not isinstance(part, dict) or part.get("type") != "image_url":
        return None
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return url if isinstance(url, str) and url.lower().startswith(("https://", "http://")) else None
