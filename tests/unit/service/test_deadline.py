"""What is here in time counts, though nobody had time to look."""

import asyncio
import gc
import time

import pytest

from aiapp_service.stores.deadline import within


async def test_an_answer_is_given():
    assert await within(10, asyncio.sleep(0, "answer")) == "answer"


async def test_an_error_is_raised():
    async def fail() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await within(10, fail())


async def test_what_does_not_come_is_given_up():
    given_up = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    with pytest.raises(TimeoutError):
        await within(0.01, hang())
    await asyncio.wait_for(given_up.wait(), 5)


async def test_how_it_ends_then_is_nobodys_business(caplog):
    ended = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
            raise OSError("the driver complains")

    with pytest.raises(TimeoutError):
        await within(0.01, hang())
    await asyncio.wait_for(ended.wait(), 5)
    await asyncio.sleep(0)
    gc.collect()
    assert not caplog.records


async def test_whoever_leaves_takes_the_call_along():
    begun, given_up = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    waiting = asyncio.create_task(within(60, hang()))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(given_up.wait(), 5)


async def test_a_busy_process_is_not_a_slow_store():
    """The answer lies in the socket while something else keeps the loop until long after the deadline."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"answer\n")
        writer.close()
        # Whoever asked has it now, and cannot look.
        time.sleep(0.3)  # noqa: ASYNC251  # the loop has to stand still

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:

        async def ask() -> bytes:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            line = await reader.readline()
            writer.close()
            # A driver hands it from layer to layer.
            for _ in range(3):
                await asyncio.sleep(0)
            return line

        assert await within(0.1, ask()) == b"answer\n"
