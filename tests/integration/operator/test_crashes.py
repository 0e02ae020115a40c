"""Killed right after each of its writes, the operator always ends up in the same place."""

import asyncio
from pathlib import Path

import pytest

from tests.integration.operator.conftest import Simulated, assistant
from tests.integration.operator.process import operator
from tests.integration.operator.proxy import WriteProxy
from tests.integration.operator.test_operator import made
from tests.stack.aiapp import AppHandle
from tests.stack.kube import Kube, Manifest

AT_ONCE = 4
APP = "app"


async def _create(
    simulated: Simulated, namespace: str, folder: Path, kill_at: int
) -> tuple[set[str], set[str], list[str]]:
    """Create an AIApp, its operator killed at one write and started again.

    Gives what there is, Secrets that were made too late, and the writes.
    """
    await asyncio.to_thread(folder.mkdir)
    await asyncio.to_thread(simulated.kube.namespace, namespace)
    await asyncio.to_thread(simulated.kube.apply, assistant(APP, namespace))
    app = AppHandle(simulated.kube, namespace, APP)
    async with WriteProxy(simulated.kubeconfig, kill_at).running() as proxy:
        config = proxy.write_kubeconfig(folder / "kubeconfig")
        with operator(config, namespace, folder) as doomed:
            proxy.victim = doomed.pid
            if kill_at:
                await asyncio.to_thread(doomed.wait_killed)
            else:
                await asyncio.to_thread(app.wait_ready)
        with operator(config, namespace, folder):
            await asyncio.to_thread(app.wait_ready)
    found = await asyncio.to_thread(made, simulated.kube, namespace, APP)
    late = await asyncio.to_thread(_later_than_their_pods, simulated.kube, namespace, found)
    await asyncio.to_thread(simulated.kube.delete, "Namespace", namespace)
    return set(found), late, proxy.writes


def _later_than_their_pods(kube: Kube, namespace: str, found: dict[str, Manifest]) -> set[str]:
    """Secrets that are younger than a pod which starts with them: what it made with the one before would not open."""
    late = set()
    for pod in kube.list("Pod", namespace):
        for container in pod["spec"].get("initContainers") or ():
            for variable in container.get("env") or ():
                name = ((variable.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name")
                secret = found.get(f"Secret/{name}")
                if secret and secret["metadata"]["creationTimestamp"] > pod["metadata"]["creationTimestamp"]:
                    late.add(name)
    return late


@pytest.mark.slow
async def test_killed_after_each_write_the_end_is_the_same(simulated: Simulated, tmp_path: Path) -> None:
    expected, _, writes = await _create(simulated, "crash-0", tmp_path / "0", 0)
    spec_writes = len(writes)
    assert spec_writes > 20, writes
    gate = asyncio.Semaphore(AT_ONCE)

    async def crash(number: int) -> tuple[int, set[str], set[str], list[str]]:
        async with gate:
            found, late, done = await _create(simulated, f"crash-{number}", tmp_path / str(number), number)
        return number, found, late, done

    # The last writes are status only, and their number varies with how fast pods become ready.
    last = max(n for n, write in enumerate(writes, start=1) if "/status" not in write and "/events" not in write)
    for number, found, late, done in await asyncio.gather(*(crash(n) for n in range(1, last + 1))):
        assert found == expected, f"killed after write {number}: {done[number - 1]}"
        assert not late, f"killed after write {number}: made again after pods had started with them: {late}"
