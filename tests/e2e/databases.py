"""SQL in the managed database of an AIApp, and room in it for other AIApps: a schema each."""

import base64
import subprocess

from tests.stack.aiapp import AppHandle

OWNER, SUPERUSER = "aiapp", "postgres"
# By the socket inside the pod, as the superuser in a role: what the owner's role makes belongs to it.
_SCRIPT = (
    'PATH="$PATH:/usr/lib/postgresql/17/bin" PGOPTIONS="-crole=$1"'
    ' exec psql -h /run/aiapp -U postgres -d aiapp -v ON_ERROR_STOP=1 -qtAc "$0"'
)


def sql(app: AppHandle, statements: str, role: str = OWNER) -> str:
    """What psql prints for them, run inside the database's pod."""
    return app.kube.kubectl(*_command(app, statements, role)).strip()


def session(app: AppHandle, statements: str) -> "subprocess.Popen[bytes]":
    """A session that goes on until it is killed, or its statements are done."""
    command = [str(app.kube.kubectl_binary), *_command(app, statements, OWNER)]
    return subprocess.Popen(command, env=app.kube.environment(), stdout=subprocess.DEVNULL)


def url_of(app: AppHandle, schema: str = "public") -> str:
    """The URL of its database as pods of its namespace reach it, with what they make in a schema of its own."""
    secret = app.kube.get("Secret", f"{app.name}-postgres", app.namespace)
    assert secret is not None
    # It has options already: the role that the login stands for.
    return f"{base64.b64decode(secret['data']['url']).decode()}%20-csearch_path%3D{schema}%2Cpublic"


def _command(app: AppHandle, statements: str, role: str) -> tuple[str, ...]:
    pod = app.pods("postgres")[0]["metadata"]["name"]
    place = ("-n", app.namespace, "exec", pod, "-c", "postgres", "--")
    return (*place, "sh", "-c", _SCRIPT, statements, role)
