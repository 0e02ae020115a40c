"""SQL in the managed database of an AIApp, and room in it for other AIApps: a schema each."""

import base64
import subprocess

from tests.stack.aiapp import AppHandle

_SCRIPT = (
    'PATH="$PATH:/usr/lib/postgresql/17/bin" PGPASSWORD="$(cat "$0/password")"'
    ' exec psql -h 127.0.0.1 -U aiapp -d aiapp -v ON_ERROR_STOP=1 -qtAc "$1"'
)


def sql(app: AppHandle, statements: str) -> str:
    """What psql prints for them, run inside the database's pod."""
    return app.kube.kubectl(*_command(app, statements)).strip()


def session(app: AppHandle, statements: str) -> "subprocess.Popen[bytes]":
    """A session that goes on until it is killed, or its statements are done."""
    command = [str(app.kube.kubectl_binary), *_command(app, statements)]
    return subprocess.Popen(command, env=app.kube.environment(), stdout=subprocess.DEVNULL)


def url_of(app: AppHandle, schema: str = "public") -> str:
    """The URL of its database as pods of its namespace reach it, with what they make in a schema of its own."""
    secret = app.kube.get("Secret", f"{app.name}-postgres", app.namespace)
    assert secret is not None
    url = base64.b64decode(secret["data"]["url"]).decode()
    return f"{url}?options=-csearch_path%3D{schema}%2Cpublic"


def _command(app: AppHandle, statements: str) -> tuple[str, ...]:
    pod = app.pods("postgres")[0]
    secret_volumes = {v["name"] for v in pod["spec"]["volumes"] if "secret" in v or "projected" in v}
    mounts = pod["spec"]["containers"][0]["volumeMounts"]
    path = next(m["mountPath"] for m in mounts if m["name"] in secret_volumes)
    shell = ("sh", "-c", _SCRIPT, path, statements)
    return ("-n", app.namespace, "exec", pod["metadata"]["name"], "-c", "postgres", "--", *shell)
