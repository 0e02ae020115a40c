"""Writes in the background: bounded, ended before the stores are closed, and never a reason to fail."""

import asyncio

from aiapp_service.cache import writes
from aiapp_service.cache.writes import Writes


async def test_what_is_too_much_is_not_run() -> None:
    held, background = asyncio.Event(), Writes(most=1)

    async def hold() -> None:
        await held.wait()

    assert background.start(hold)
    assert not background.start(hold)
    held.set()
    await background.drain()
    assert background.start(hold)
    await background.drain()


async def test_drain_lets_them_end_and_gives_up_those_that_do_not(monkeypatch) -> None:
    monkeypatch.setattr(writes, "DRAIN_SECONDS", 0.05)
    background, ended = Writes(), []

    async def work(seconds: float) -> None:
        await asyncio.sleep(seconds)
        ended.append(seconds)

    for seconds in (0.01, 3600.0):
        background.start(lambda seconds=seconds: work(seconds))
    await background.drain()
    assert ended == [0.01]


async def test_failure_is_said_once_without_what_was_written(caplog) -> None:
    async def fail() -> None:
        raise ValueError("canary")

    background = Writes()
    for _ in range(3):
        background.start(fail)
    await background.drain()
    assert len(caplog.records) == 1
    assert vars(caplog.records[0])["error"] == "ValueError"
    assert "canary" not in caplog.text
