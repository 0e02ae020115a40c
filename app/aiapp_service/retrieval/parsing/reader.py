"""Parsing for a worker: plain text at once, everything else by processes that are killed when they take too long."""

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process

from aiapp_service.retrieval.parsing.document import Document, Unreadable
from aiapp_service.retrieval.parsing.formats import Format, format_of, parse

SECONDS = 60.0
PROCESSES = 2
# A text of the greatest length, with each character spelt out as JSON does, and the places of its pages.
_MOST_LINE_BYTES = 128 * 1024 * 1024
_COMMAND = (sys.executable, "-m", "aiapp_service.retrieval.parsing.process")


class Reader:
    """Gives the text of files. Processes are started when they are needed, and kept."""

    def __init__(self, processes: int = PROCESSES, seconds: float = SECONDS) -> None:
        self._free = asyncio.Semaphore(processes)
        self._seconds = seconds
        self._idle: list[Process] = []

    async def read(self, filename: str, body: bytes) -> Document:
        """The text of a file.

        Raises:
            Unreadable: it has none, is of another kind, or takes too long or too much memory.
        """
        format_ = format_of(filename, body)
        if format_.is_plain:
            return parse(format_, body)
        async with self._free:
            process = self._idle.pop() if self._idle else await self._started()
            try:
                async with asyncio.timeout(self._seconds):
                    answer = await _ask(process, format_, body)
            except TimeoutError as error:
                await _end(process)
                raise Unreadable(f"the file could not be read within {self._seconds:g} s") from error
            except BaseException:  # cancelled too: a process in the middle of a file is of no use
                await _end(process)
                raise
            self._idle.append(process)
        if "error" in answer:
            raise Unreadable(answer["error"], answer["code"])
        return Document.load(answer)

    async def close(self) -> None:
        """End the processes."""
        idle, self._idle = self._idle, []
        for process in idle:
            await _end(process)

    async def _started(self) -> Process:
        return await asyncio.create_subprocess_exec(
            *_COMMAND, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=_MOST_LINE_BYTES
        )


async def _ask(process: Process, format_: Format, body: bytes) -> dict[str, str]:
    source, target = process.stdin, process.stdout
    assert source is not None  # noqa: S101  # both are pipes
    assert target is not None  # noqa: S101  # as it was started
    try:
        source.write(json.dumps({"format": format_, "bytes": len(body)}).encode() + b"\n" + body)
        await source.drain()
        line = await target.readline()
        if not line:
            raise ConnectionError
    except (ConnectionError, ValueError) as error:
        await _end(process)
        raise Unreadable("the file cannot be read: its parser broke down over it") from error
    found: dict[str, str] = await asyncio.to_thread(json.loads, line)
    return found


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
