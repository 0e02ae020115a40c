"""SQL in the managed database of an AIApp."""

from tests.stack.aiapp import AppHandle

# The superuser, by the socket inside the pod; what it makes belongs to the role that owns the schema.
_SCRIPT = (
    'PATH="$PATH:/usr/lib/postgresql/17/bin" PGOPTIONS="-crole=aiapp"'
    ' exec psql -h /run/aiapp -U postgres -d aiapp -v ON_ERROR_STOP=1 -qtAc "$0"'
)


def sql(app: AppHandle, statements: str) -> str:
    """What psql prints for them, run inside the database's pod."""
    return app.kube.kubectl(*_command(app, statements)).strip()


def _command(app: AppHandle, statements: str) -> tuple[str, ...]:
    pod = app.pods("postgres")[0]["metadata"]["name"]
    return ("-n", app.namespace, "exec", pod, "-c", "postgres", "--", "sh", "-c", _SCRIPT, statements)
