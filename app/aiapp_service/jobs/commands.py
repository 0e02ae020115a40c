"""`aiapp-service jobs`: the queues from a shell, for example in a pod: kubectl exec deploy/NAME-api -- ..."""

# ruff: noqa: PLC0415  # what only one command needs is loaded by that command

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn

import click

from aiapp_service.config import RedisConfig, ServiceConfig
from aiapp_service.jobs.queues import KNOWN, Queues
from aiapp_service.stores.breaker import StoreDown

if TYPE_CHECKING:
    from aiapp_service.jobs.queue import JobQueue

_queue = click.argument("queue")
_job = click.argument("job")
_STATES = ("waiting", "delayed", "active", "completed", "failed")


@click.command("list")
@click.argument("queue", required=False)
@click.option("--state", default="failed", show_default=True, type=click.Choice(_STATES))
@click.option("--start", default=0, show_default=True, type=click.IntRange(0), help="How many to leave out.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100), help="How many to list.")
@click.pass_obj
def list_(config: ServiceConfig, queue: str | None, state: str, start: int, limit: int) -> None:
    """Jobs of QUEUE in a state, one JSON object a line; without QUEUE how many there are in each."""
    from aiapp_service.jobs import administration

    if queue is None:
        for name in KNOWN:
            _print({"queue": name, **_ask(config, name, administration.counts)})
        return
    wanted = administration.JobState(state)
    for record in _ask(config, queue, lambda opened: administration.listed(opened, wanted, start, limit)):
        _print(record.document())


@click.command()
@_queue
@_job
@click.option("--content", is_flag=True, help="Also data and result, which belong to a tenant.")
@click.pass_obj
def show(config: ServiceConfig, queue: str, job: str, content: bool) -> None:
    """One JOB of QUEUE."""
    from aiapp_service.jobs import administration

    record = _ask(config, queue, lambda opened: administration.find(opened, job))
    if record is None:
        _fail(f"there is no job {job} in {queue}, or no longer")
    more = _ask(config, queue, lambda opened: administration.content(opened, job)) if content else {}
    _print({**record.document(), **more})


@click.command()
@_queue
@click.argument("job", required=False)
@click.option("--all", "everything", is_flag=True, help="All that have failed.")
@click.pass_obj
def redrive(config: ServiceConfig, queue: str, job: str | None, everything: bool) -> None:
    """Let a failed JOB of QUEUE run again, with all its attempts."""
    from aiapp_service.jobs import administration

    if (job is None) is not everything:
        _fail("name one job, or give --all")
    if job is None:
        click.echo(f"{_ask(config, queue, administration.redrive_all)} jobs run again")
    elif _ask(config, queue, lambda opened: administration.redrive(opened, job)):
        click.echo(f"{job} runs again")
    else:
        _fail(f"{job} is not among the failed jobs of {queue}")


@click.command()
@_queue
@_job
@click.pass_obj
def cancel(config: ServiceConfig, queue: str, job: str) -> None:
    """Remove a JOB of QUEUE that waits; tell the worker of one that runs to stop."""
    from aiapp_service.jobs import cancelling

    done = _ask(config, queue, lambda opened: cancelling.cancel(opened, job))
    if done is cancelling.Cancelled.TOO_LATE:
        _fail(f"{job} has ended already, or is no job of {queue}")
    click.echo(f"{job}: {'removed' if done is cancelling.Cancelled.REMOVED else 'its worker has been told to stop'}")


@click.command()
@_queue
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def drain(config: ServiceConfig, queue: str, yes: bool) -> None:
    """Remove all jobs of QUEUE that wait or are delayed, for good. Those that run go on."""
    from aiapp_service.jobs import administration

    if not yes:
        click.confirm(f"Remove all waiting and delayed jobs of {queue}?", abort=True)
    click.echo(f"{_ask(config, queue, administration.drop_waiting)} jobs removed")


COMMANDS = (list_, show, redrive, cancel, drain)


def _ask(config: ServiceConfig, name: str, question: "Callable[[JobQueue], Awaitable[Any]]") -> Any:
    async def answer(redis: RedisConfig) -> Any:
        queues = Queues(redis, config.app)
        try:
            return await question(queues[name])
        finally:
            await queues.close()

    if config.redis is None:
        _fail("queues need Redis, and the configuration names none")
    try:
        return asyncio.run(answer(config.redis))
    except (StoreDown, OSError) as error:
        _fail(str(error))


def _print(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document))


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"aiapp-service: {message}\n")
    sys.exit(1)
