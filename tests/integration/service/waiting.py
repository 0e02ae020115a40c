"""Waiting inside the event loop."""

import asyncio
from collections.abc import Callable

SECONDS = 10.0
_LOOK_SECONDS = 0.01


async def until(what: str, holds: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until `holds` is true; fails naming `what`."""
    try:
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110  # the state of a server has no event to wait for
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None
