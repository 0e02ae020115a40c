"""kopf's part: it watches AIApps and hands over what it sees; it writes nothing.

Only `on.event` is used, and no handler that detects changes: those keep copies of the spec in
annotations, cost two requests a retry and put finalizers on objects. See docs/adr.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import kopf

from aiapp_operator.api.app import GROUP, PLURAL, VERSION

WATCH_SERVER_SECONDS = 290
WATCH_CLIENT_SECONDS = 320

Seen = Callable[[str | None, dict[str, Any]], None]


async def watch_apps(seen: Seen, namespaces: tuple[str, ...], take_signals: Callable[[], None]) -> None:
    """Tell `seen` of AIApps until cancelled. kopf takes SIGTERM and SIGINT for itself; `take_signals` undoes that."""
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry(seen, login),
        settings=settings(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
    )
    take_signals()
    await kopf.run_tasks(tasks, ignored=others)


def registry(seen: Seen, login: Callable[[], kopf.ConnectionInfo]) -> kopf.OperatorRegistry:
    """The handlers. `seen` hears of each event: its type (None for a listed object) and the object."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def on_event(event: kopf.RawEvent, **_: Any) -> None:
        seen(event["type"], dict(event["object"]))

    @kopf.on.login(registry=handlers)
    async def on_login(**_: Any) -> kopf.ConnectionInfo:
        return login()

    return handlers


def settings() -> kopf.OperatorSettings:
    """kopf's settings: no events of its own, no scanning for other resources, watches that end by themselves."""
    result = kopf.OperatorSettings()
    result.posting.enabled = False
    result.scanning.disabled = True
    result.watching.server_timeout = WATCH_SERVER_SECONDS
    result.watching.client_timeout = WATCH_CLIENT_SECONDS
    result.watching.connect_timeout = 10
    result.process.ultimate_exiting_timeout = None
    return result


def login() -> kopf.ConnectionInfo:
    """Credentials of the pod's service account, else of KUBECONFIG.

    Raises:
        kopf.LoginError: there are neither, or they cannot be read.
    """
    chosen = settings()
    try:
        info = kopf.login_with_service_account(settings=chosen) or kopf.login_with_kubeconfig(settings=chosen)
    except OSError as error:
        raise kopf.LoginError(f"credentials cannot be read: {error}") from error
    if info is None:
        raise kopf.LoginError("neither a service account nor a kubeconfig: set KUBECONFIG")
    return info
