"""One reconcile of one AIApp: the only place where the parts are put in order.

Snapshot from the caches, facts, plan, apply, prune, status. What waits for something else waits
in the plan, as a gate on facts; nothing waits here.
"""

import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import ValidationError

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.facts import BackendHealth, Facts
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.plan import GeneratedSecret, Plan
from aiapp_operator.build.plan import desired
from aiapp_operator.config import Settings
from aiapp_operator.errors import ReconcileError, Retry, Stalled, Waiting
from aiapp_operator.kube import events, secrets
from aiapp_operator.kube.api_errors import ApiError, Conflict, Forbidden, NotFound
from aiapp_operator.kube.apply import Applier
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.kube.prune import prune
from aiapp_operator.kube.store import AppKey, AppStore, ChildStore
from aiapp_operator.runtime.clock import WallClock, micros_text, seconds_text
from aiapp_operator.runtime.outcome import DONE, RETRY, STALLED, Outcome, after
from aiapp_operator.status.conditions import evaluate, rejected, transitions
from aiapp_operator.status.observe import observe

log = logging.getLogger(__name__)

TERMINATING_SECONDS = 30.0

Health = Callable[[AppKey], BackendHealth | None]


@dataclass(frozen=True)
class Surroundings:
    """What a reconciler needs besides its stores: identity, time and randomness, each replaceable."""

    settings: Settings
    identity: str
    clock: WallClock
    rng: random.Random


class Reconciler:
    """Reconciles AIApps by key."""

    def __init__(
        self,
        client: KubeClient,
        apps: AppStore,
        children: ChildStore,
        applier: Applier,
        health: Health,
        surroundings: Surroundings,
    ) -> None:
        self._client = client
        self._apps = apps
        self._children = children
        self._applier = applier
        self._health = health
        self._in = surroundings

    async def reconcile(self, key: AppKey) -> Outcome:
        """Bring one AIApp closer to what it should be. Failures are outcomes, never exceptions."""
        raw = self._apps.get(key)
        # Children of a deleted AIApp go by garbage collection.
        if raw is None or raw["metadata"].get("deletionTimestamp"):
            return DONE
        try:
            return await self._reconcile(key, raw)
        except ApiError as error:
            log.warning("reconcile failed", extra={"app": str(key), "status": error.status, "error": error.message})
            return RETRY

    async def _reconcile(self, key: AppKey, raw: Manifest) -> Outcome:
        try:
            app = parse(raw)
        except ValidationError as error:
            await self._reject(raw, error)
            return STALLED
        facts = observe(app, self._children.children(key), self._health(key))
        plan: Plan | None = None
        failure: ReconcileError | None = None
        if not app.spec.suspend:
            try:
                plan = desired(app, facts, self._in.settings)
            except ReconcileError as error:
                failure = error
            else:
                failure = await self._execute(app, plan)
        if isinstance(failure, Waiting) and failure.reason == "NamespaceTerminating":
            return after(failure.seconds)
        await self._report(app, raw, facts, plan, failure)
        return _outcome(failure)

    async def _execute(self, app: AIApp, plan: Plan) -> ReconcileError | None:
        """Carry the plan out as far as it goes; gives the first failure. One child's trouble stops no other."""
        failures: list[ReconcileError] = []
        for secret in plan.secrets:
            failures += await _failure(f"Secret {secret.name}", self._create(app, secret))
        for manifest in plan.apply:
            what = f"{manifest['kind']} {manifest['metadata']['name']}"
            failures += await _failure(what, self._applier.apply(app, manifest))
        # Nothing is removed while something that may replace it could not be made.
        if not failures:
            failures += await _failure("a child", self._prune(app, plan))
        return failures[0] if failures else None

    async def _create(self, app: AIApp, secret: GeneratedSecret) -> None:
        if await secrets.create(self._client, secret, self._in.rng):
            log.info("created", extra={"app": f"{app.namespace}/{app.name}", "child": f"Secret/{secret.name}"})

    async def _prune(self, app: AIApp, plan: Plan) -> None:
        await prune(self._client, self._children, app, plan)

    async def _report(
        self, app: AIApp, raw: Manifest, facts: Facts, plan: Plan | None, failure: ReconcileError | None
    ) -> None:
        """Write the status if it changed, in one request, and tell of what moved."""
        previous = raw.get("status")
        now = seconds_text(self._in.clock())
        status = evaluate(app, facts, plan, failure, previous=previous, now=now)
        await self._write(app, previous, status)

    async def _reject(self, raw: Manifest, error: ValidationError) -> None:
        meta = raw["metadata"]
        previous = raw.get("status")
        now = seconds_text(self._in.clock())
        status = rejected(int(meta.get("generation", 0)), explain(error), previous, now)
        # Enough of an AIApp to write to: its spec is the part that cannot be read.
        await self._write(AIApp(metadata=meta), previous, status)

    async def _write(self, app: AIApp, previous: Manifest | None, status: Manifest) -> None:
        if status == previous:
            return
        # A merge patch leaves alone what it does not name: fields that are gone are named as null.
        patch = {**dict.fromkeys(previous or {}), **status}
        try:
            stored = await self._client.patch_status("AIApp", app.namespace, app.name, app.uid, patch)
        except (NotFound, Conflict):
            return  # deleted meanwhile, or made anew under the same name: its own event follows
        self._apps.put(stored)
        moved = transitions(previous, status)
        stamp = micros_text(self._in.clock())
        for transition in moved:
            await events.publish(self._client, app, transition, now=stamp, identity=self._in.identity, rng=self._in.rng)
        log.info("status written", extra={"app": f"{app.namespace}/{app.name}", "moved": [t.type for t in moved]})


def parse(raw: Manifest) -> AIApp:
    """The AIApp as stored, without its status, which may hold fields of a newer operator.

    Raises:
        ValidationError: the spec does not fit the types: the CRD is newer, or older, than this operator.
    """
    return AIApp.model_validate({key: value for key, value in raw.items() if key != "status"})


def explain(error: ValidationError) -> str:
    """Each wrong field with what is wrong, without its value."""
    found = (
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    )
    return "; ".join(found)


async def _failure(what: str, work: Awaitable[None]) -> list[ReconcileError]:
    """Do `work`; what went wrong as an error that says how it is handled."""
    try:
        await work
    except ReconcileError as error:
        return [error]
    except Forbidden as error:
        if error.terminating:
            return [Waiting("NamespaceTerminating", "the namespace is being deleted", seconds=TERMINATING_SECONDS)]
        return [Stalled("Forbidden", f"{what}: {error.message}")]
    except NotFound:
        return [Waiting("NamespaceTerminating", "the namespace is gone", seconds=TERMINATING_SECONDS)]
    except ApiError as error:
        log.warning("request failed", extra={"what": what, "status": error.status, "error": error.message})
        return [Retry("APIServerTrouble", f"{what}: the API server answered {error.reason}")]
    return []


def _outcome(failure: ReconcileError | None) -> Outcome:
    match failure:
        case None:
            return DONE
        case Stalled():
            return STALLED
        case Waiting():
            return after(failure.seconds)
        case _:
            return RETRY
