"""Compute resources: safe defaults, overlaid by what the user gives, always consistent.

Defaults reserve what the part needs at rest and limit memory, so that a leak ends in one pod and not
on its node. CPU has no limit: throttling would cost latency without protecting anybody.
"""

from aiapp_operator.api.base import Resources
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.quantity import canonical, parse


def resources(given: Resources, *, cpu: str, memory: str, limit: str) -> Manifest:
    """`resources` of a container: defaults `cpu`, `memory` (requests) and `limit` (memory), and what is `given`.

    Where a given value contradicts a default, the default follows: a request above the default limit
    raises the limit, a limit below the default request lowers the request.
    """
    requests = {"cpu": cpu, "memory": memory} | dict(given.requests)
    limits = {"memory": limit} | dict(given.limits)
    for name in sorted(requests.keys() & limits.keys()):
        if parse(requests[name]) <= parse(limits[name]):
            continue
        if name in given.limits and name not in given.requests:
            requests[name] = limits[name]
        elif name not in given.limits:
            limits[name] = requests[name]
    return {
        "requests": {name: canonical(value) for name, value in sorted(requests.items())},
        "limits": {name: canonical(value) for name, value in sorted(limits.items())},
    }


def memory_limit(container_resources: Manifest) -> int:
    """Bytes that the container may use."""
    return int(parse(container_resources["limits"]["memory"]))
