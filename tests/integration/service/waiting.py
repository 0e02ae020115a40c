"""Waiting inside the event loop."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

SECONDS = 30.0
_LOOK_SECONDS = 0.01


async def until(what: str, holds: Callable[[], object | Awaitable[object]], seconds: float = SECONDS) -> None:
    """Wait until `holds`, which may be a coroutine function, gives something true; fails naming `what`."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = holds()
                if await found if inspect.isawaitable(found) else found:
                    return
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None
