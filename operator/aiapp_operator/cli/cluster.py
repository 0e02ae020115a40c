"""The cluster of KUBECONFIG, for commands."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import kopf

from aiapp_operator.kube.client import KubeClient
from aiapp_operator.kube.transport import HttpTransport
from aiapp_operator.runtime.handlers import login


@asynccontextmanager
async def connected() -> AsyncIterator[KubeClient]:
    """A client with the user's own credentials; without any the command ends with a message."""
    try:
        login()
    except kopf.LoginError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    client = KubeClient(HttpTransport(login))
    try:
        yield client
    finally:
        await client.close()
