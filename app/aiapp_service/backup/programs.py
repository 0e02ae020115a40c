"""pg_dump and pg_restore, fed and read as streams. Passwords are in their environment, not in their arguments."""

import asyncio
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import URL

from aiapp_service.backup.errors import ProgramFailed
from aiapp_service.db.connect import connection_string
from aiapp_service.telemetry.logs import without_secrets

PIECE = 1 << 20
_LAST_WORDS = 8192
_LOCK_WAIT_MS = 30_000
_NOISE = ("pg_restore: while ", "pg_restore: from TOC", "Command was:", "pg_dump: hint:", "pg_dump: detail:")


async def dump(url: URL, snapshot: str) -> AsyncGenerator[bytes, None]:
    """What pg_dump writes of the snapshot, in custom format.

    Raises:
        ProgramFailed: it failed; also after the last piece, so take nothing for complete before this ends.
    """
    arguments = ["--format=custom", f"--snapshot={snapshot}", f"--lock-wait-timeout={_LOCK_WAIT_MS}"]
    async with _program("pg_dump", arguments, url, stdout=PIPE) as (process, said):
        assert process.stdout is not None  # noqa: S101  # it was asked for
        while piece := await process.stdout.read(PIECE):
            yield piece
        await _ended("pg_dump", process, said)


async def restore(url: URL, pieces: AsyncIterator[bytes], options: list[str]) -> None:
    """Let pg_restore make of `pieces` what was dumped, in one transaction: all of it, or nothing.

    When `pieces` raises, that is raised, and nothing is restored.

    Raises:
        ProgramFailed: it failed.
    """
    arguments = ["--single-transaction", *options]
    async with _program("pg_restore", arguments, url, stdin=PIPE) as (process, said):
        assert process.stdin is not None  # noqa: S101  # it was asked for
        try:
            async for piece in pieces:
                process.stdin.write(piece)
                await process.stdin.drain()
            process.stdin.close()
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended, and says why
        await _ended("pg_restore", process, said)


@asynccontextmanager
async def _program(
    name: str, arguments: list[str], url: URL, *, stdin: int | None = None, stdout: int | None = None
) -> AsyncIterator[tuple[Process, "asyncio.Task[str]"]]:
    """The running program and the task that keeps its last words; killed when the context is left early."""
    database = connection_string(url.set(password=None))
    env = {**os.environ, "PGCONNECT_TIMEOUT": "30", "PGAPPNAME": f"aiapp {name}"}
    if url.password is not None:
        env["PGPASSWORD"] = str(url.password)
    try:
        process = await asyncio.create_subprocess_exec(
            name, *arguments, "--no-password", f"--dbname={database}", stdin=stdin, stdout=stdout, stderr=PIPE, env=env
        )
    except FileNotFoundError as error:
        raise ProgramFailed(f"{name} is not in this image: the PostgreSQL client programs are needed") from error
    said = asyncio.create_task(_last_words(process))
    try:
        yield process, said
    finally:
        if process.returncode is None:
            process.kill()
        # asyncio takes a process for ended only when its pipes are read to their ends.
        while process.stdout is not None and await process.stdout.read(PIECE):
            pass
        await process.wait()
        await said


async def _ended(name: str, process: Process, said: "asyncio.Task[str]") -> None:
    code = await process.wait()
    words = await said
    if code != 0:
        raise ProgramFailed(f"{name}: {_telling(words) or f'ended with exit code {code}'}")


async def _last_words(process: Process) -> str:
    assert process.stderr is not None  # noqa: S101  # it was asked for
    kept = b""
    while piece := await process.stderr.read(_LAST_WORDS):
        kept = (kept + piece)[-_LAST_WORDS:]
    return kept.decode(errors="replace")


def _telling(words: str) -> str:
    """The first line that names an error, without the program's name and without secrets."""
    lines = [line.strip() for line in words.splitlines() if line.strip() and not line.startswith(_NOISE)]
    found = next((line for line in lines if "error:" in line.lower()), lines[-1] if lines else "")
    return without_secrets(found.partition("error:")[2].strip() or found)[:400]
