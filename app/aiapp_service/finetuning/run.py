"""The queue `fine-tune`: jobs named `fine-tuning`, with data {"job": NAME}. Each turn brings a job one step on.

One with {"once": true} besides is for a turn before its time.

A provider is asked to train once: before that the job is marked, and whoever finds the mark looks at the provider for
a job with the training file, which was uploaded for this job alone.
"""

import asyncio
import logging
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiapp_service.batches.source import FileGone, chunks_of
from aiapp_service.billing.row import UsageRow
from aiapp_service.config import ProviderConfig
from aiapp_service.finetuning.answers import Refused, Unreachable
from aiapp_service.finetuning.record import ENDED, TuningJob
from aiapp_service.finetuning.store import Taken, TuningStore
from aiapp_service.gateway import Gateway
from aiapp_service.jobs.job import Handler, Job, JobPostponed, JobRefused
from aiapp_service.llm.tuned import Tuned
from aiapp_service.pipeline.principal import principal_of
from aiapp_service.storage.files import Files
from aiapp_service.stores.breaker import StoreDown, StoreRefused

if TYPE_CHECKING:
    from aiapp_service.finetuning.provider import Trainer

log = logging.getLogger(__name__)

# An upload may take this long; a killed worker's job is taken up again after it.
HOLD_SECONDS = 600.0
RETRY_SECONDS = 10.0
_HELD_SECONDS = 2.0
_FIRST_POLL_SECONDS = 2.0
_MOST_POLL_SECONDS = 60.0
_FILES = ("training_file", "validation_file")
_STATUSES = ("validating_files", "queued", "running", "paused", *ENDED)


class _Held(Exception):
    """Another turn is at work."""


@dataclass(frozen=True)
class Workshop:
    """What every job of a process is worked on with."""

    gateway: Gateway
    store: TuningStore
    files: Files


def handler(shop: Workshop) -> Handler:
    """The handler; a job that trains comes again and again."""

    async def handle(job: Job) -> None:
        name = job.data.get("job")
        if not isinstance(name, str):
            raise JobRefused("job: has to be the name of a fine-tuning job")
        try:
            wait = await _turn(shop, name)
        except (StoreDown, StoreRefused, Unreachable, Taken) as error:
            log.info("fine-tuning waits", extra={"job": name, "error": str(error)})
            raise JobPostponed(RETRY_SECONDS) from error
        except _Held as error:
            raise JobPostponed(_HELD_SECONDS) from error
        if wait is not None and job.data.get("once") is not True:
            raise JobPostponed(wait)

    return handle


async def _turn(shop: Workshop, name: str) -> float | None:
    token = uuid.uuid4().hex
    job = await shop.store.take(name, token, HOLD_SECONDS)
    if job is None:
        if await shop.store.is_open(name):
            raise _Held
        return None
    try:
        provider = next((p for p in shop.gateway.current.config.providers if p.name == job.provider), None)
        step = Step(shop, job, token)
        if provider is None:
            await step.fail("provider_missing", f"the app has no provider {job.provider} any more", None)
            return None
        return await step.run(provider)
    finally:
        await asyncio.shield(_release(shop.store, name, token))


async def _release(store: TuningStore, name: str, token: str) -> None:
    try:
        await store.change(name, token, {"holder": None, "held_until": None})
    except (StoreDown, Taken) as error:
        log.info("fine-tuning job stays held", extra={"job": name, "error": type(error).__name__})


class Step:
    """One turn of one job."""

    def __init__(self, shop: Workshop, job: TuningJob, token: str) -> None:
        self._shop = shop
        self._job = job
        self._token = token

    async def run(self, provider: ProviderConfig) -> float | None:
        """Gives after how many seconds the job has to be looked at again; None: it has ended."""
        # The SDK takes a while to load, and much memory: a worker that trains nothing goes without it.
        from aiapp_service.finetuning.provider import Trainer  # noqa: PLC0415  # for a light start

        try:
            async with Trainer.open(provider) as trainer:
                if self._job.provider_job is None:
                    await self._submit(trainer)
                else:
                    await self._follow(trainer)
                if self._job.ended:
                    for file in self._job.provider_files.values():
                        await trainer.remove(file)
        except Refused as error:
            await self.fail(error.code, str(error), error.param)
        except FileGone:
            await self.fail("file_not_found", "the training or validation file was deleted", "training_file")
        if self._job.ended:
            log.info("fine-tuning ended", extra={"job": self._job.id, "status": self._job.status})
            return None
        age = (datetime.now(UTC) - self._job.created_at).total_seconds()
        return min(max(_FIRST_POLL_SECONDS, age / 20), _MOST_POLL_SECONDS)

    async def fail(self, code: str, message: str, param: str | None) -> None:
        """End the job as one that has failed."""
        error = {"code": code, "message": message, "param": param}
        await self._change({"status": "failed", "error": error}, finished=True)
        await self._say("error", message)

    async def _submit(self, trainer: "Trainer") -> None:
        if self._job.wanted == "cancel" and not self._job.submitting:
            await self._change({"status": "cancelled", "wanted": None}, finished=True)
            await self._say("info", "Fine-tuning job cancelled before the provider was asked")
            return
        for field in _FILES:
            if field in self._job.request and field not in self._job.provider_files:
                await self._upload(trainer, field)
        created = await trainer.find(self._job.provider_files["training_file"]) if self._job.submitting else None
        if created is None:
            await self._change({"submitting": True})
            created = await trainer.create(self._for_provider())
        await self._change({"provider_job": created["id"], "document": created, "status": _status(created, self._job)})

    async def _upload(self, trainer: "Trainer", field: str) -> None:
        name = self._job.request[field]
        uploaded = await trainer.upload(f"{name}.jsonl", chunks_of(self._shop.files, self._job.tenant, name))
        await self._change({"provider_files": {**self._job.provider_files, field: uploaded}})
        await self._say("info", f"{field} uploaded to the provider")

    def _for_provider(self) -> dict[str, Any]:
        """The request as the provider gets it. Metadata stays here: not every provider takes it."""
        asked = {name: value for name, value in self._job.request.items() if name not in ("base", "metadata", *_FILES)}
        return {**asked, "model": self._job.request["base"], **self._job.provider_files}

    async def _follow(self, trainer: "Trainer") -> None:
        name = str(self._job.provider_job)
        if self._job.wanted is not None:
            await self._tell(trainer, name, self._job.wanted)
        told = await trainer.get(name)
        store = self._shop.store
        await store.note("fine_tuning_events", self._job.id, await trainer.events(name))
        checkpoints = [{**one, "fine_tuning_job_id": self._job.id} for one in await trainer.checkpoints(name)]
        await store.note("fine_tuning_checkpoints", self._job.id, checkpoints)
        status = _status(told, self._job)
        values: dict[str, Any] = {"document": told, "status": status}
        if status == "failed":
            values["error"] = _error(told)
        if status != "succeeded":
            await self._change(values, finished=status in ENDED)
            return
        made = str(told.get("fine_tuned_model") or "")
        if not made:
            await self.fail("no_model", "the provider names no model that came of it", None)
            return
        model = Tuned(made, self._job.tenant, self._job.model, self._job.provider, made)
        await self._change({**values, "fine_tuned_model": made}, finished=True, model=model, row=self._row(told))

    async def _tell(self, trainer: "Trainer", name: str, wanted: str) -> None:
        try:
            await trainer.tell(name, wanted)
        except Refused as error:
            # It has just ended, or cannot be paused: that is no reason to give it up.
            await self._say("warn", f"the provider does not {wanted} it: {error}")
        await self._shop.store.told(wanted, self._job.id)

    def _row(self, told: dict[str, Any]) -> UsageRow:
        """What training took; the provider alone knows what it costs."""
        principal, job = principal_of(self._job.principal), self._job
        return UsageRow(
            request_id=job.id,
            client_request_id=job.id,
            created_at=datetime.now(UTC),
            tenant=principal.tenant,
            api_key=principal.key,
            user_name=principal.user,
            model=job.model,
            backend=f"{job.provider}/{job.request['base']}",
            endpoint="fine_tuning/jobs",
            input_tokens=max(0, int(told.get("trained_tokens") or 0)),
        )

    async def _change(self, values: dict[str, Any], **more: Any) -> None:
        self._job = await self._shop.store.change(self._job.id, self._token, values, **more)

    async def _say(self, level: str, message: str) -> None:
        event = {
            "id": f"ftevent-{uuid.uuid4().hex}",
            "object": "fine_tuning.job.event",
            "created_at": int(datetime.now(UTC).timestamp()),
            "level": level,
            "message": message,
            "type": "message",
            "data": None,
        }
        await self._shop.store.note("fine_tuning_events", self._job.id, [event])


def _status(told: dict[str, Any], job: TuningJob) -> str:
    """The provider's; a word that clients do not know changes nothing."""
    status = told.get("status")
    return status if isinstance(status, str) and status in _STATUSES else job.status


def _error(told: dict[str, Any]) -> dict[str, Any]:
    given = told.get("error")
    error = given if isinstance(given, dict) else {}
    return {
        "code": str(error.get("code") or "training_failed"),
        "message": str(error.get("message") or "the provider gives no reason"),
        "param": error.get("param"),
    }
