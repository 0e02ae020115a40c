"""`aiapp-service`: one program, a role for each kind of pod.

Each role imports what it needs when it is chosen, so that all of them start fast.
"""

# ruff: noqa: PLC0415  # what only one command needs is loaded by that command

import asyncio
import logging
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click
import yaml
from pydantic import ValidationError

from aiapp_service import lean
from aiapp_service.config import API_PORT, DEFAULT_PATH, WORKER_PORT, ServiceConfig, WrongConfig, load, mock_config

log = logging.getLogger("aiapp_service")

WRONG_CONFIG = 2
HEALTH_SECONDS = 4

_config = click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Configuration file. Default: {DEFAULT_PATH} where it exists, else the Mock provider, open to everybody.",
)
_host = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")


def _of_other_jobs() -> Sequence[click.Command]:
    from aiapp_service.backup import commands as backups
    from aiapp_service.weights import commands as models

    return (*backups.COMMANDS, *models.COMMANDS)


def _of_jobs() -> Sequence[click.Command]:
    from aiapp_service.jobs.commands import COMMANDS

    return COMMANDS


@click.group(cls=lean.LaterGroup, load=_of_other_jobs, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The AIApp service: an OpenAI-compatible API, workers, migrations, backups."""


@main.command()
@_config
@_host
@click.option("--port", default=API_PORT, show_default=True, help="Port to listen on; 0: any free one.")
def api(path: Path | None, host: str, port: int) -> None:
    """Serve the OpenAI-compatible API."""
    from aiapp_service.http.api import serve

    config, file = _configured(path)
    try:
        asyncio.run(serve(config, host, port, file))
    except WrongConfig as error:
        _fail(f"{file or 'configuration'}: {error}", WRONG_CONFIG)
    except OSError as error:
        _fail(f"cannot listen on {host}:{port}: {error.strerror}", 1)


@main.command()
@_host
@click.option("--port", default=API_PORT, show_default=True, help="Port to listen on; 0: any free one.")
@click.option(
    "--retry-after",
    default=60,
    show_default=True,
    type=click.IntRange(min=1),
    help="Seconds after which clients are told to come again.",
)
def sleeping(host: str, port: int, retry_after: int) -> None:
    """Answer 503 to everything, in the place of an API that sleeps."""
    from aiapp_service.http.sleeping import serve
    from aiapp_service.telemetry.logs import set_up

    set_up(os.environ.get("LOG_LEVEL", "INFO"))
    try:
        asyncio.run(serve(host, port, retry_after))
    except OSError as error:
        _fail(f"cannot listen on {host}:{port}: {error.strerror}", 1)


@main.command()
@_config
@_host
@click.option("--port", default=WORKER_PORT, show_default=True, help="Port of probes and metrics.")
@click.option("--name", required=True, help="Which of the configured workers.")
def worker(path: Path | None, host: str, port: int, name: str) -> None:
    """Take jobs from queues."""
    from aiapp_service.jobs.worker import run

    config, file = _configured(path)
    chosen = next((entry for entry in config.workers if entry.name == name), None)
    if chosen is None:
        known = ", ".join(entry.name for entry in config.workers) or "none"
        _fail(f"no worker is named {name}; configured: {known}", WRONG_CONFIG)
    sys.exit(run(config, chosen, host=host, port=port, file=file))


@main.command()
@click.option(
    "--url-file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File with a postgresql:// URL."
)
@click.option(
    "--app", default="", envvar="AIAPP_DATABASE_OF", help="NAMESPACE/NAME; a database that is another's is refused."
)
def migrate(url_file: Path, app: str) -> None:
    """Bring the database to the schema of this version."""
    from aiapp_service.db.migrate import end_on_sigterm
    from aiapp_service.db.migrate import migrate as bring_up_to_date
    from aiapp_service.telemetry.logs import set_up

    set_up(os.environ.get("LOG_LEVEL", "INFO"))
    end_on_sigterm()
    sys.exit(bring_up_to_date(url_file, app=app))


@main.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_config
@click.option("--update", is_flag=True, help="Take the answers of this run as the snapshots.")
def prompt_test(file: Path, path: Path | None, update: bool) -> None:
    """Run the prompt tests in FILE; with LLM_PROVIDER=mock against the Mock provider."""
    from aiapp_service.prompts.trial import run

    os.environ.setdefault("LOG_LEVEL", "WARNING")
    # Prompts and models stay those of the configuration; only who answers is another.
    mock = os.environ.pop("LLM_PROVIDER", "") == "mock"
    config, _ = _configured(path)
    sys.exit(asyncio.run(run(config, file, mock=mock, update=update)))


@main.command()
@click.option("--port", multiple=True, type=int, default=(API_PORT, WORKER_PORT), show_default=True)
def healthcheck(port: tuple[int, ...]) -> None:
    """Exit 0 when a role of this container answers that it can serve."""
    for number in port:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{number}/health", timeout=HEALTH_SECONDS):
                return
        except urllib.error.HTTPError as error:
            _fail(f"port {number} answered {error.code}", 1)
        except OSError:
            continue
    _fail(f"nothing answers on port {', '.join(map(str, port))}", 1)


@main.group(cls=lean.LaterGroup, load=_of_jobs)
@_config
@click.pass_context
def jobs(context: click.Context, path: Path | None) -> None:
    """Look at background jobs, cancel them, run failed ones again."""
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    context.obj, _ = _configured(path)


@main.command("hash-key")
def hash_key() -> None:
    """Read an API key from standard input, print what to put into the Secret instead of it."""
    from aiapp_service.auth.key_file import hashed

    key = sys.stdin.read().strip()
    if len(key.split()) != 1:
        _fail("give one key without white space on standard input", WRONG_CONFIG)
    click.echo(hashed(key))


def _configured(path: Path | None) -> tuple[ServiceConfig, Path | None]:
    """The configuration, and the file it came from."""
    from aiapp_service.telemetry.logs import set_up

    set_up(os.environ.get("LOG_LEVEL", "INFO"))
    chosen = path or (DEFAULT_PATH if DEFAULT_PATH.exists() else None)
    if chosen is None or os.environ.get("LLM_PROVIDER") == "mock":
        log.info("using the Mock provider, open to everybody", extra={"why": "no configuration, or LLM_PROVIDER=mock"})
        return mock_config(), None
    try:
        config = load(chosen)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        _fail(f"{chosen}: {where}: {first['msg']}", WRONG_CONFIG)
    except (OSError, yaml.YAMLError) as error:
        _fail(f"{chosen}: {error}", WRONG_CONFIG)
    if config.redis is not None:
        lean.load_redis()
    return config, chosen


def _fail(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"aiapp-service: {message}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
