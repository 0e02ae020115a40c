"""/v1/fine_tuning/jobs with the openai SDK, against two APIs, a worker, and a provider that trains."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from openai.types.fine_tuning import FineTuningJob

from aiapp_service.config import (
    AuthConfig,
    BackendConfig,
    ModelConfig,
    ProviderConfig,
    ProviderKind,
    RedisConfig,
    ServiceConfig,
    WorkerConfig,
    dump,
)
from tests.integration.servers.objects import object_server
from tests.integration.servers.postgres import Postgres
from tests.integration.servers.redis import redis_server
from tests.integration.service.finetuning.training_provider import TrainingProvider
from tests.integration.service.ledgers import Books, new_books
from tests.integration.service.roles import Role, killing
from tests.integration.service.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = {"web": "key-of-web", "other": "key-of-other", "limited": "key-of-limited"}
EXAMPLE = json.dumps({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]})
DATA = f"{EXAMPLE}\n".encode() * 10


@dataclass
class App:
    """A running app."""

    provider: TrainingProvider
    apis: list[Role]
    worker: Role
    books: Books
    clients: dict[tuple[str, int], AsyncOpenAI] = field(default_factory=dict)

    def sdk(self, key: str = "web", api: int = 0) -> AsyncOpenAI:
        """The SDK as an application uses it."""
        url = f"{self.apis[api].url}/v1"
        if (key, api) not in self.clients:
            self.clients[key, api] = AsyncOpenAI(base_url=url, api_key=KEYS[key], max_retries=0, timeout=20)
        return self.clients[key, api]

    async def create(self, **fields: Any) -> FineTuningJob:
        """A job."""
        file = await self.sdk().files.create(file=("train.jsonl", DATA), purpose="fine-tune")
        return await self.sdk().fine_tuning.jobs.create(**{"model": "chat", "training_file": file.id, **fields})

    async def reaches(self, job: FineTuningJob, status: str, seconds: float = 90) -> FineTuningJob:
        """The job once it stands so."""
        found = job

        async def there() -> bool:
            nonlocal found
            found = await self.sdk().fine_tuning.jobs.retrieve(job.id)
            return found.status == status

        await until(f"{status}, not {found.status}: {self.worker.said()[-1500:]}", there, seconds)
        return found

    async def messages(self, job: FineTuningJob) -> list[str]:
        """What its events say, the first first."""
        return [event.message async for event in self.sdk().fine_tuning.jobs.list_events(job.id, limit=2)][::-1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    folder = tmp_path_factory.mktemp("tuning")
    books = new_books(postgres_server, "tuning", folder)
    books.migrate()
    keys = folder / "keys"
    keys.mkdir()
    for name, key in KEYS.items():
        (keys / name).write_text(key)
    (keys / "limited").write_text(f"key: {KEYS['limited']}\ntenant: web\nmodels: [plain]\n")
    provider = TrainingProvider()
    with redis_server(folder / "redis") as redis, object_server(folder / "objects") as objects:
        (folder / "redis-url").write_text(redis.url)
        async with provider.running():
            lab = ProviderConfig(
                name="lab", kind=ProviderKind.OPENAI_COMPATIBLE, base_url=provider.url, fine_tuning=True
            )
            fake = ProviderConfig(name="fake", kind=ProviderKind.MOCK)
            backends = (BackendConfig(provider="fake", model="x"), BackendConfig(provider="lab", model="base-1"))
            config = ServiceConfig(
                auth=AuthConfig(api_keys_dir=keys),
                providers=(lab, fake),
                models=(
                    ModelConfig(name="chat", backends=backends),
                    ModelConfig(name="plain", backends=backends[:1]),
                ),
                workers=(WorkerConfig(name="w", queues=("fine-tune",)),),
                database=books.config,
                redis=RedisConfig(url_file=folder / "redis-url"),
                object_store=objects.config,
            )
            file = folder / "config.yaml"
            file.write_text(dump(config))
            roles = [Role(file, "api"), Role(file, "api"), Role(file, "worker", "--name", "w")]
            with killing(*roles):
                await asyncio.gather(*(role.start() for role in roles))
                running = App(provider, roles[:2], roles[2], books)
                try:
                    yield running
                finally:
                    for client in running.clients.values():
                        await client.close()


@pytest.fixture
def app(shared: App) -> App:
    provider = shared.provider
    for kept in (provider.files, provider.jobs, provider.events):
        kept.clear()
    for told in (provider.requests, provider.told, provider.asked, provider.removed, provider.checkpoints):
        told.clear()
    provider.refuse, provider.down, provider.lose_reply = None, False, False
    shared.books.execute("DELETE FROM usage")
    return shared


async def test_a_model_is_made_and_routes_everywhere(app: App) -> None:
    job = await app.create(suffix="mine", seed=7, hyperparameters={"n_epochs": 3}, metadata={"team": "a"})
    assert (job.object, job.status, job.model) == ("fine_tuning.job", "validating_files", "chat")
    await app.reaches(job, "queued")
    (name,) = app.provider.jobs
    assert app.provider.files == {"file-of-provider-0": DATA}
    assert app.provider.requests == [
        {
            "model": "base-1",
            "training_file": "file-of-provider-0",
            "suffix": "mine",
            "seed": 7,
            "hyperparameters": {"n_epochs": 3},
        }
    ]
    app.provider.jobs[name]["status"] = "running"
    app.provider.say(name, "step 1")
    running = await app.reaches(job, "running")
    assert running.metadata == {"team": "a"}
    assert running.hyperparameters.learning_rate_multiplier == 0.5
    checkpoint = {"id": "cp-1", "object": "fine_tuning.job.checkpoint", "created_at": 1, "step_number": 10}
    app.provider.checkpoints.append(
        {**checkpoint, "fine_tuned_model_checkpoint": "ft:base-1:x:cp", "fine_tuning_job_id": name, "metrics": {}}
    )
    app.provider.say(name, "done")
    app.provider.ends("succeeded", fine_tuned_model="ft:base-1:lab::abc", trained_tokens=123)
    done = await app.reaches(job, "succeeded")
    assert done.fine_tuned_model == "ft:base-1:lab::abc"
    assert done.trained_tokens == 123
    assert done.finished_at is not None
    assert await app.messages(job) == ["training_file uploaded to the provider", "created", "step 1", "done"]
    (kept,) = [one async for one in app.sdk().fine_tuning.jobs.checkpoints.list(job.id)]
    assert (kept.step_number, kept.fine_tuning_job_id) == (10, job.id)
    assert app.provider.removed == ["file-of-provider-0"]
    await until("billed", lambda: len(app.books.rows()) == 1)
    (row,) = app.books.rows()
    assert (row["endpoint"], row["tenant"], row["input_tokens"]) == ("fine_tuning/jobs", "web", 123)
    assert row["cost_usd"] is None
    await _routes_for_its_tenant_only(app, "ft:base-1:lab::abc")


async def _routes_for_its_tenant_only(app: App, model: str) -> None:
    async def known(api: int) -> bool:
        return model in [one.id async for one in app.sdk(api=api).models.list()]

    for api in (0, 1):
        await until("the API knows it", lambda api=api: known(api))
        answer = await app.sdk(api=api).chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Hello"}]
        )
        assert answer.choices[0].message.content == f"I am {model}"
    assert app.provider.asked == [model, model]
    for key in ("other", "limited"):
        assert model not in [one.id async for one in app.sdk(key).models.list()]
        with pytest.raises(openai.NotFoundError):
            await app.sdk(key).chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}])
    with pytest.raises(openai.BadRequestError, match="fine-tuned already"):
        await app.create(model=model)


async def test_cancel_is_passed_on_at_once(app: App) -> None:
    job = await app.create()
    await app.reaches(job, "queued")
    await app.sdk().fine_tuning.jobs.pause(job.id)
    await app.reaches(job, "paused")
    await app.sdk().fine_tuning.jobs.cancel(job.id)
    ended = await app.reaches(job, "cancelled", seconds=30)
    assert app.provider.told == ["pause", "cancel"]
    assert ended.fine_tuned_model is None
    assert (await app.sdk().fine_tuning.jobs.cancel(job.id)).status == "cancelled"


async def test_provider_that_refuses_fails_the_job_in_its_words(app: App) -> None:
    app.provider.refuse = {"message": "too few examples", "type": "x", "code": "few_examples", "param": "training_file"}
    ended = await app.reaches(await app.create(), "failed")
    assert ended.error is not None
    assert (ended.error.code, ended.error.message) == ("few_examples", "too few examples")


async def test_training_that_fails_says_why(app: App) -> None:
    job = await app.create()
    await app.reaches(job, "queued")
    app.provider.ends("failed", error={"code": "bad_data", "message": "line 3 is wrong", "param": "training_file"})
    ended = await app.reaches(job, "failed")
    assert ended.error is not None
    assert ended.error.message == "line 3 is wrong"


async def test_a_job_is_created_once_though_nobody_heard_of_it(app: App) -> None:
    app.provider.lose_reply = True
    job = await app.create()
    await app.reaches(job, "queued")
    assert len(app.provider.requests) == 1


async def test_killed_worker_goes_on(app: App) -> None:
    job = await app.create()
    await app.reaches(job, "queued")
    app.worker.kill()
    app.books.execute("UPDATE fine_tuning_jobs SET held_until = now()")
    await app.worker.start()
    app.provider.ends("succeeded", fine_tuned_model="ft:base-1:lab::def")
    await app.reaches(job, "succeeded", seconds=60)
    assert len(app.provider.requests) == 1


async def test_jobs_are_their_tenants_own(app: App) -> None:
    job = await app.create()
    other = app.sdk("other")
    for call in (other.fine_tuning.jobs.retrieve, other.fine_tuning.jobs.cancel, other.fine_tuning.jobs.list_events):
        with pytest.raises(openai.NotFoundError):
            await call(job.id)
    assert [one async for one in other.fine_tuning.jobs.list()] == []
    listed = [one.id async for one in app.sdk().fine_tuning.jobs.list(limit=1)]
    assert listed[0] == job.id
    with pytest.raises(openai.NotFoundError, match="no file"):
        await other.fine_tuning.jobs.create(model="chat", training_file=job.training_file)


async def test_wrong_requests_name_the_field(app: App) -> None:
    with pytest.raises(openai.BadRequestError, match="fineTuning") as refused:
        await app.create(model="plain")
    assert refused.value.param == "model"
    with pytest.raises(openai.NotFoundError, match="no model"):
        await app.create(model="nothing")
    with pytest.raises(openai.BadRequestError, match="suffix"):
        await app.create(suffix="x" * 65)
    file = await app.sdk().files.create(file=("a.jsonl", b"{}"), purpose="batch")
    with pytest.raises(openai.BadRequestError, match="purpose fine-tune"):
        await app.create(training_file=file.id)
