"""Load from inside the cluster: a pod that asks an AIApp's Service, a fresh connection for each request.

It counts what was answered and what was not; that is read from its log.
"""

import json
from dataclasses import dataclass

from tests.stack.install import Platform
from tests.stack.kube import Manifest
from tests.stack.wait import wait_until

# Runs in the image of the service, which has Python and aiohttp.
_PROGRAM = """
import asyncio, json, sys, aiohttp
url, concurrency, body = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
done, asleep, failed, said = 0, 0, 0, []
async def ask():
    global done, asleep, failed
    while True:
        try:
            connector = aiohttp.TCPConnector(force_close=True)
            async with aiohttp.ClientSession(connector=connector) as session:
                async with session.post(url, json=body) as answer:
                    text = await answer.text()
            if answer.status == 503 and '"app_sleeping"' in text and "Retry-After" in answer.headers:
                asleep += 1
                await asyncio.sleep(0.2)
                continue
            if answer.status != 200:
                raise RuntimeError(f"{answer.status} {text[:200]}")
            done += 1
        except Exception as error:
            failed += 1
            said.append(f"{type(error).__name__}: {error}")
async def tell():
    while True:
        print(json.dumps({"done": done, "asleep": asleep, "failed": failed, "said": said[-3:]}), flush=True)
        await asyncio.sleep(1)
async def main():
    await asyncio.gather(tell(), *(ask() for _ in range(concurrency)))
asyncio.run(main())
"""


@dataclass(frozen=True)
class Counts:
    """What became of the requests so far."""

    done: int
    failed: int
    said: tuple[str, ...]  # the last errors
    asleep: int = 0  # answered that the app sleeps, and when to come again


@dataclass(frozen=True)
class Driver:
    """A running pod of load."""

    platform: Platform
    namespace: str
    name: str

    def counts(self) -> Counts:
        """As of the last second."""
        log = self.platform.kube.kubectl("-n", self.namespace, "logs", self.name, "--tail=1", check=False).strip()
        try:
            told = json.loads(log)
        except ValueError:
            return Counts(0, 0, ())
        return Counts(told["done"], told["failed"], tuple(told["said"]), told["asleep"])

    def stop(self) -> Counts:
        """End the load; gives what it came to."""
        found = self.counts()
        self.platform.kube.delete("Pod", self.name, self.namespace, grace_seconds=0)
        return found


def start(platform: Platform, namespace: str, app: str, concurrency: int, body: Manifest) -> Driver:
    """`concurrency` requests at any time to the chat completions of `app`, until it is stopped."""
    name = f"{app}-load"
    url = f"http://{app}-api.{namespace}.svc:8080/v1/chat/completions"
    container = {
        "name": "load",
        "image": platform.images["service"],
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", _PROGRAM, url, str(concurrency), json.dumps(body)],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    platform.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0},
        }
    )
    driver = Driver(platform, namespace, name)
    wait_until("the load has begun", lambda: driver.counts().done > 0, seconds=60, seen=driver.counts)
    return driver
