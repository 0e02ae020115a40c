"""`python -m aiapp_operator`: run the operator. Wiring only."""

import asyncio
import os
import random
import socket
import sys
from pathlib import Path

from pydantic import ValidationError

from aiapp_operator.config import Settings
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.kube.transport import HttpTransport
from aiapp_operator.runtime import handlers, logs
from aiapp_operator.runtime.clock import system_clock
from aiapp_operator.runtime.metrics import Metrics
from aiapp_operator.runtime.operator import Operator
from aiapp_operator.runtime.prober import HttpAsker
from aiapp_operator.runtime.reconciler import Surroundings

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def main() -> int:
    """Run until told to stop; gives the exit code: 2 for wrong settings, 1 when the Lease was lost."""
    try:
        settings = _complete(Settings.from_env(os.environ))
    except ValidationError as error:
        sys.stderr.write(f"wrong settings: {error}\n")
        return 2
    logs.set_up(settings.log_level)
    return asyncio.run(_run(settings))


def _complete(settings: Settings) -> Settings:
    """Fill in what depends on where this runs."""
    namespace = _POD_NAMESPACE.read_text(encoding="utf-8").strip() if _POD_NAMESPACE.exists() else "default"
    changes = {
        "lease_namespace": settings.lease_namespace or namespace,
        "identity": settings.identity or f"{socket.gethostname()}-{os.getpid()}",
    }
    return settings.model_copy(update=changes)


async def _run(settings: Settings) -> int:
    metrics = Metrics()
    client = KubeClient(HttpTransport(handlers.login), metrics.count_request)
    asker = HttpAsker()
    surroundings = Surroundings(settings, settings.identity, system_clock, random.SystemRandom())
    try:
        return await Operator(client, asker, metrics, surroundings).run()
    finally:
        await asker.close()


if __name__ == "__main__":
    sys.exit(main())
