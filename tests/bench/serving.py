"""What the gateway's benchmark runs: an upstream, a Redis, the service with and without a cache, a bare relay."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiapp_service.config import (
    AuthConfig,
    BackendConfig,
    BudgetConfig,
    CacheConfig,
    ExactCacheConfig,
    InferenceConfig,
    ModelConfig,
    PriceConfig,
    RateLimitConfig,
    RedisConfig,
    ServiceConfig,
    dump,
)
from tests.bench.report import resident_mebibytes
from tests.integration.servers.redis import redis_server
from tests.stack.wait import wait_until

UPSTREAM, SERVICE, RELAY, CACHED = 18191, 18192, 18193, 18194
TOKENS = 50
KEY = "key-of-the-benchmark"
CORES = sorted(os.sched_getaffinity(0))
ENDLESS = 10_000_000
# A machine that others use, too, may take long.
START_SECONDS = 90


@dataclass(frozen=True)
class Bench:
    """What runs; `service` and `relay` are pids."""

    service: int
    relay: int
    ready_seconds: float
    idle_mebibytes: float


@contextmanager
def bench(load: Path, folder: Path) -> Iterator[Bench]:
    """All of it, while the context lasts."""
    keys = folder / "keys"
    keys.mkdir()
    (keys / "bench").write_text(KEY, encoding="utf-8")
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(folder / "redis"))
        (folder / "redis-url").write_text(redis.url, encoding="utf-8")
        upstream = [str(load), "upstream", f"127.0.0.1:{UPSTREAM}", str(TOKENS)]
        stack.enter_context(running(upstream, CORES[0], f"http://127.0.0.1:{UPSTREAM}/v1/models", folder))
        bare = [sys.executable, "-m", "tests.bench.relay", f"http://127.0.0.1:{UPSTREAM}", str(RELAY)]
        relay = stack.enter_context(running(bare, CORES[-1], f"http://127.0.0.1:{RELAY}/livez", folder))
        stack.enter_context(service(config_of(folder, cached=True), CACHED, folder))
        started = time.monotonic()
        pid = stack.enter_context(service(config_of(folder, cached=False), SERVICE, folder))
        yield Bench(pid, relay, time.monotonic() - started, resident_mebibytes(pid))


def config_of(folder: Path, *, cached: bool) -> ServiceConfig:
    """Everything on that a request passes; `folder` has the keys and the URL of Redis."""
    price = PriceConfig.model_validate({"inputPer1M": "0.15", "outputPer1M": "0.60"})
    backend = BackendConfig(inference="fixed", model="fixed", price=price)
    paced = BackendConfig(inference="fixed", model="paced", price=price)
    return ServiceConfig(
        auth=AuthConfig(api_keys_dir=folder / "keys"),
        rate_limit=RateLimitConfig(
            requests_per_minute=ENDLESS, tokens_per_minute=100 * ENDLESS, concurrent_requests=10_000
        ),
        budgets=(BudgetConfig.model_validate({"name": "all", "limitUSD": str(ENDLESS)}),),
        inference=(InferenceConfig.model_validate({"name": "fixed", "baseURL": f"http://127.0.0.1:{UPSTREAM}/v1"}),),
        models=(ModelConfig(name="chat", backends=(backend,)), ModelConfig(name="paced", backends=(paced,))),
        cache=CacheConfig(exact=ExactCacheConfig()) if cached else CacheConfig(),
        redis=RedisConfig(url_file=folder / "redis-url"),
    )


@contextmanager
def service(
    config: ServiceConfig, port: int, folder: Path, module: str = "aiapp_service", core: int = CORES[-1]
) -> Iterator[int]:
    """The API role with `config`; gives its pid. `module` is what is run in place of the service's own."""
    file = folder / f"config-{port}.yaml"
    file.write_text(dump(config), encoding="utf-8")
    command = [sys.executable, "-m", module, "api", "--config", str(file), "--port", str(port)]
    with running(command, core, f"http://127.0.0.1:{port}/livez", folder) as pid:
        yield pid


@contextmanager
def running(command: list[str], core: int, url: str, folder: Path) -> Iterator[int]:
    """A process on a core, from the moment that `url` answers; gives its pid."""
    # As in an image, where everything is compiled: the first process of a kind does it, the others find it.
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**usual, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    with (
        (folder / "log").open("ab") as log,
        subprocess.Popen(["taskset", "-c", str(core), *command], stdout=log, env=environment) as process,
    ):
        try:
            wait_until(f"{url} answers", lambda: _answers(url), seconds=START_SECONDS, pause=0.02)
            yield process.pid
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False
