"""Inference that is several pods: one conversation stays with one of them, and goes on when that one is gone."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiapp_service.llm import replicas
from tests.integration.service.conftest import Serve, Service, config
from tests.integration.service.test_routing import ask
from tests.integration.service.upstream import Upstream

ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


@asynccontextmanager
async def pods(*addresses: str) -> AsyncIterator[dict[str, Upstream]]:
    """Servers on the same port of different addresses."""
    async with AsyncExitStack() as stack:
        found: dict[str, Upstream] = {}
        port = 0
        for address in addresses:
            found[address] = await stack.enter_async_context(Upstream().running(address, port))
            port = int(found[address].url.rsplit(":", 1)[1].split("/")[0])
        yield found


def by_name(pod: Upstream) -> str:
    return pod.url.replace("127.0.0.1", "pods.test")


async def resolved(api: Service, *addresses: str) -> None:
    async def resolve(_host: str) -> tuple[str, ...]:
        return addresses

    await replicas.refresh(api.router.replica_sets, resolve)


async def say(api: Service, number: int, *more: str, stream: bool = False) -> str:
    """One more turn of a conversation; gives the model that answered."""
    texts = (f"conversation {number}", *more)
    return await ask(api, stream=stream, messages=[{"role": "user", "content": text} for text in texts])


def counts(found: dict[str, Upstream]) -> Counter[str]:
    return Counter({address: len(pod.bodies) for address, pod in found.items()})


async def test_conversation_stays_and_conversations_spread(serve: Serve) -> None:
    async with pods(*ADDRESSES) as found, serve(config(by_name(found["127.0.0.1"]))) as api:
        await resolved(api, *ADDRESSES)
        for number in range(20):
            before = counts(found)
            for turn in range(3):
                await say(api, number, *["and?"] * turn, stream=turn == 1)
            assert len(counts(found) - before) == 1, "all turns on one"
        assert all(counts(found).values()), "all have some"


async def test_next_replica_before_the_next_backend(serve: Serve) -> None:
    async with (
        pods(*ADDRESSES) as found,
        Upstream().running() as other,
        serve(config(by_name(found["127.0.0.1"]), other.url)) as api,
    ):
        await resolved(api, *ADDRESSES)
        await say(api, 1)
        chosen = next(address for address, count in counts(found).items() if count)
        found[chosen].status = 500
        for stream in (False, True):
            assert await say(api, 1, stream=stream) == "model-m0"
        backend = api.router.routes["chat"].backends[0]
        assert backend.down is None
        for pod in found.values():
            pod.status = 500
        assert await say(api, 1) == "model-m1"
        assert backend.down is not None


async def test_pod_that_is_gone_and_one_that_comes(serve: Serve) -> None:
    async with pods(*ADDRESSES[:2]) as found, serve(config(by_name(found["127.0.0.1"]))) as api:
        await resolved(api, "127.0.0.1", "127.0.0.9")
        for number in range(10):
            assert await say(api, number) == "model-m0"
        assert counts(found)["127.0.0.1"] == 10
        await resolved(api, "127.0.0.1", "127.0.0.2")
        for number in range(10):
            await say(api, number)
        assert counts(found)["127.0.0.2"] > 0


async def test_service_answers_when_all_known_addresses_are_stale(serve: Serve) -> None:
    """Pods were replaced, and the name still resolves to those before."""
    async with pods(*ADDRESSES[:1]) as found:
        wanted = config(found["127.0.0.1"].url.replace("127.0.0.1", "localhost"))
        entry = wanted.inference[0].model_copy(update={"pods_host": "pods.test"})
        async with serve(wanted.model_copy(update={"inference": (entry,)})) as api:
            await resolved(api, "127.0.0.8", "127.0.0.9")
            for number in range(5):
                assert await say(api, number, stream=number % 2 == 0) == "model-m0"


async def test_changed_configuration_keeps_the_addresses(serve: Serve) -> None:
    async with pods(*ADDRESSES) as found, serve(config(by_name(found["127.0.0.1"]))) as api:
        await resolved(api, *ADDRESSES)
        api.gateway.replace(api.gateway.current.config.model_copy(update={"app": "other"}))
        for number in range(10):
            assert await say(api, number) == "model-m0"
        assert len(+counts(found)) > 1
