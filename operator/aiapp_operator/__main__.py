"""`python -m aiapp_operator`: run the operator. Wiring only."""

import asyncio
import logging
import os
import random
import signal
import socket
import sys
from pathlib import Path

import kopf
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

log = logging.getLogger(__name__)

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def main() -> int:
    """Run until told to stop; gives the exit code.

    2 for wrong settings or no credentials, 1 when the Lease was lost or something broke: to be started again.
    """
    try:
        settings = _complete(Settings.from_env(os.environ))
        handlers.login()
    except ValidationError as error:
        sys.stderr.write(f"wrong settings: {error}\n")
        return 2
    except kopf.LoginError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logs.set_up(settings.log_level)
    try:
        return asyncio.run(_run(settings))
    except Exception:  # the process ends, and its log says why
        log.exception("stopping")
        return 1


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

    async def watch_apps(seen: handlers.Seen, namespaces: tuple[str, ...]) -> None:
        await handlers.watch_apps(seen, namespaces, take_signals)

    def take_signals() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, operator.stop)

    operator = Operator(client, watch_apps, asker, metrics, surroundings)
    take_signals()
    try:
        return await operator.run()
    finally:
        await asker.close()


if __name__ == "__main__":
    sys.exit(main())
