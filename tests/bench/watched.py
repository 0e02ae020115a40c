"""The service as it is, which also writes on SIGUSR1 how many tasks it has: into the file that WATCHED_TASKS names."""

import asyncio
import os
import signal
from pathlib import Path

import click

from aiapp_service.config import load
from aiapp_service.http.api import serve
from aiapp_service.telemetry.logs import set_up


@click.group()
def main() -> None:
    """As the service's own."""


@main.command()
@click.option("--config", required=True, type=click.Path(path_type=Path))
@click.option("--port", required=True, type=int)
def api(config: Path, port: int) -> None:
    """Serve."""
    set_up("WARNING")
    asyncio.run(_served(config, port))


async def _served(config: Path, port: int) -> None:
    file = Path(os.environ["WATCHED_TASKS"])

    def tell() -> None:
        file.write_text(str(len(asyncio.all_tasks())), encoding="utf-8")

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell)
    await serve(load(config), "127.0.0.1", port, config)


if __name__ == "__main__":
    main()
