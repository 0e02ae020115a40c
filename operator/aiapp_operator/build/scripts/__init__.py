"""Shell scripts that start and probe the databases, and drain engines; package data, read once at import."""

from importlib.resources import files


def _read(name: str) -> str:
    """The script without its comments: to correct a comment must not restart a database."""
    lines = files(__name__).joinpath(name).read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.lstrip().startswith("#"))


# Kubernetes expands $(NAME) of known names and $$ in commands: the scripts hold neither.
_POSTGRES_ROLES = _read("postgres-roles.sh")
_POSTGRES_DISK = _read("postgres-disk.sh")
POSTGRES_START = _POSTGRES_ROLES + _POSTGRES_DISK + _read("postgres-start.sh")
POSTGRES_PROBE = _POSTGRES_ROLES + _POSTGRES_DISK + _read("postgres-probe.sh")
REDIS_START = _read("redis-start.sh")
REDIS_PROBE = _read("redis-probe.sh")
DRAIN = _read("drain.sh")


def shell(script: str, name: str, *arguments: str) -> list[str]:
    """A command that runs `script` with the image's POSIX shell."""
    return ["/bin/sh", "-c", script, name, *arguments]
