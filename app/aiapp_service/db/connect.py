"""From a file with a URL to a connection."""

import logging
from pathlib import Path

import psycopg
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError
from tenacity import Retrying, before_sleep_log, retry_if_exception, stop_after_delay, wait_exponential_jitter

CONNECT_SECONDS = 5
# A server that starts or moves is back within this time; a wrong password is not, and is told at once.
PATIENCE_SECONDS = 60.0
_PASSING = ("starting up", "shutting down", "recovery", "too many", "remaining connection slots")


class WrongUrl(ValueError):
    """The file holds no URL of a PostgreSQL database. The message does not repeat it: it may hold a password."""


def read_url(file: Path) -> URL:
    """The URL in `file`.

    Raises:
        WrongUrl: it is no postgresql:// URL.
        OSError: the file cannot be read.
    """
    return parsed(file.read_text(encoding="utf-8").strip())


def parsed(text: str) -> URL:
    """`text` as the URL of a PostgreSQL database.

    Raises:
        WrongUrl: it is none.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise WrongUrl("the Secret holds no URL: postgresql://USER:PASSWORD@HOST:PORT/DATABASE is needed") from error
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise WrongUrl(f"the URL of the database begins with {url.drivername}://, it has to be postgresql://")
    return url.set(drivername="postgresql")


def connection_string(url: URL) -> str:
    """As libpq takes it, with its password where it has one."""
    before, mark, query = url.render_as_string(hide_password=False).partition("?")
    # SQLAlchemy writes a space in options as a plus, which to libpq is one.
    return before + mark + query.replace("+", "%20")


def passes(error: BaseException) -> bool:
    """Whether trying again may help: there was no answer, or one of a server that is not ready."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    text = str(error)
    return "FATAL:" not in text or any(words in text for words in _PASSING)


def retrying(log: logging.Logger) -> Retrying:
    """Tries again for PATIENCE_SECONDS, then raises the last error."""
    return Retrying(
        stop=stop_after_delay(PATIENCE_SECONDS),
        wait=wait_exponential_jitter(multiplier=0.5, max=5, jitter=0.5),
        retry=retry_if_exception(passes),
        before_sleep=before_sleep_log(log, logging.WARNING),
        reraise=True,
    )
