"""Waiting inside the event loop."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

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


@asynccontextmanager
async def running(coroutine: Coroutine[object, object, object]) -> AsyncIterator[None]:
    """Run something in the background while the context lasts."""
    task = asyncio.create_task(coroutine)
    try:
        yield
        assert not task.done(), "it has ended by itself"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
