"""The command `aiapp`, as its user runs it."""

import subprocess
import sys

from tests.stack.aiapp import AppHandle


def aiapp(app: AppHandle, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it on an AIApp; its exit code is not looked at."""
    main = "from aiapp_operator.cli import main; main()"
    command = [sys.executable, "-c", main, *arguments, app.name, "-n", app.namespace]
    return subprocess.run(command, env=app.kube.environment(), capture_output=True, text=True, check=False, timeout=240)
