"""One reconcile of one AIApp: the only place where the parts are put in order.

Snapshot from the caches, facts, plan, apply, prune, status. What waits for something else waits
in the plan, as a gate on facts; nothing waits here.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from pydantic import ValidationError

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.facts import BackendHealth, Facts, Progress
from aiapp_operator.api.manifest import Manifest, ObjectKey, object_key
from aiapp_operator.api.plan import GeneratedSecret, Plan
from aiapp_operator.build.plan import desired
from aiapp_operator.config import Settings
from aiapp_operator.errors import ReconcileError, Retry, Stalled, Waiting
from aiapp_operator.kube import events, secrets
from aiapp_operator.kube.api_errors import ApiError, Forbidden, NotFound
from aiapp_operator.kube.apply import NAMESPACE_TERMINATING, Applier
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.kube.prune import prune
from aiapp_operator.kube.requirements import needed_by
from aiapp_operator.kube.store import AppKey, AppStore, ChildStore
from aiapp_operator.runtime.clock import WallClock, micros_text, seconds_text
from aiapp_operator.runtime.outcome import DONE, RETRY, STALLED, Outcome, gravest, outcome_of
from aiapp_operator.status.conditions import evaluate, rejected, transitions
from aiapp_operator.status.observe import observe

log = logging.getLogger(__name__)

TERMINATING_SECONDS = 30.0
MOST_PASSES = 6
_NOTHING: frozenset[ObjectKey] = frozenset()
_Work = Callable[[], Awaitable[bool]]
_Step = tuple[ObjectKey, frozenset[ObjectKey], _Work]  # what, what it needs, how

Health = Callable[[AppKey], BackendHealth | None]
Absent = Callable[[], frozenset[str]]
Downloads = Callable[[AppKey], Mapping[str, Progress]]


@dataclass
class _Result:
    """What a reconcile has come to."""

    facts: Facts
    plan: Plan | None = None
    failures: list[ReconcileError] = field(default_factory=list)


@dataclass(frozen=True)
class Surroundings:
    """What a reconciler needs besides its stores: identity, time and randomness, each replaceable."""

    settings: Settings
    identity: str
    clock: WallClock
    rng: random.Random


class Reconciler:
    """Reconciles AIApps by key.

    `absent` gives the optional kinds whose API is not served, `downloads` how far those of an AIApp are.
    """

    def __init__(
        self,
        client: KubeClient,
        apps: AppStore,
        children: ChildStore,
        applier: Applier,
        health: Health,
        absent: Absent,
        downloads: Downloads,
        surroundings: Surroundings,
    ) -> None:
        self._client = client
        self._apps = apps
        self._children = children
        self._applier = applier
        self._health = health
        self._absent = absent
        self._downloads = downloads
        self._in = surroundings

    async def reconcile(self, key: AppKey, failures: int = 0) -> Outcome:
        """Bring one AIApp to what it should be, as far as that goes now. Failures are outcomes, never exceptions.

        `failures` is how often in a row this AIApp ended in Retry before.
        """
        raw = self._apps.get(key)
        # Children of a deleted AIApp go by garbage collection.
        if raw is None or raw["metadata"].get("deletionTimestamp"):
            return DONE
        try:
            return await self._reconcile(key, raw, failures)
        except ApiError as error:
            log.warning("reconcile failed", extra={"app": str(key), "status": error.status, "error": error.message})
            return RETRY

    async def _reconcile(self, key: AppKey, raw: Manifest, failures: int) -> Outcome:
        try:
            app = parse(raw)
        except ValidationError as error:
            await self._reject(raw, error)
            return STALLED
        result = await self._converge(key, app)
        failure = gravest(result.failures)
        outcome = outcome_of(result.failures)
        if any(failure.reason == NAMESPACE_TERMINATING for failure in result.failures):
            return outcome
        # Most faults are over at the next try: not worth two writes to say so.
        if isinstance(failure, Retry) and failures == 0:
            return outcome
        await self._report(app, raw, result.facts, result.plan, failure)
        return outcome

    async def _converge(self, key: AppKey, app: AIApp) -> _Result:
        """Plan and carry out until nothing is left to write: what was just written may open a gate of the plan.

        What we write is in the cache at once, so each pass sees the one before. It is the last pass, which
        writes nothing, whose facts the status is made of.
        """
        result = _Result(self._observe(key, app))
        for _ in range(0 if app.spec.suspend else MOST_PASSES):
            try:
                result.plan = desired(app, result.facts, self._in.settings)
            except ReconcileError as error:
                result.failures = [error]
                break
            if not await self._execute(app, result.plan, result):
                break
            result.facts = self._observe(key, app)
            if result.failures:
                break
        return result

    def _observe(self, key: AppKey, app: AIApp) -> Facts:
        return observe(app, self._children.children(key), self._health(key), self._absent(), self._downloads(key))

    async def _execute(self, app: AIApp, plan: Plan, result: _Result) -> bool:
        """Carry the plan out as far as it goes; gives whether anything was written. One part's trouble stops no other.

        What needs something that could not be made is left as it is.
        """
        result.failures = []
        failed: set[ObjectKey] = set()
        wrote = False
        steps: list[_Step] = [
            (ObjectKey("Secret", s.name), _NOTHING, partial(self._create, app, s)) for s in plan.secrets
        ]
        steps += [(object_key(m), needed_by(m, plan.secrets), partial(self._applier.apply, app, m)) for m in plan.apply]
        for key, needs, work in steps:
            if needs & failed:
                failed.add(key)
                continue
            done = await _attempt(str(key), work)
            if isinstance(done, ReconcileError):
                failed.add(key)
                result.failures.append(done)
            else:
                wrote = wrote or done
        # Nothing is removed while something that may replace it could not be made.
        if failed:
            return wrote
        pruned = await _attempt("a child", partial(prune, self._client, self._children, app, plan))
        if isinstance(pruned, ReconcileError):
            result.failures.append(pruned)
            return wrote
        return wrote or pruned

    async def _create(self, app: AIApp, secret: GeneratedSecret) -> bool:
        created = await secrets.create(self._client, secret, self._in.rng)
        if created:
            log.info("created", extra={"app": f"{app.namespace}/{app.name}", "child": f"Secret/{secret.name}"})
        return created

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
        except NotFound:
            return  # deleted meanwhile: its own event follows
        # An edit that was made meanwhile is left to its own event: known already, it would bring no reconcile.
        if stored["metadata"].get("generation") == app.metadata.get("generation"):
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


async def _attempt(what: str, work: _Work) -> bool | ReconcileError:
    """Do `work`; gives whether it wrote, or what went wrong as an error that says how it is handled."""
    try:
        return await work()
    except ReconcileError as error:
        return error
    except Forbidden as error:
        if error.terminating:
            return Waiting(NAMESPACE_TERMINATING, "the namespace is being deleted", seconds=TERMINATING_SECONDS)
        return Stalled("Forbidden", f"{what}: {error.message}")
    except NotFound:
        return Waiting(NAMESPACE_TERMINATING, "the namespace is gone", seconds=TERMINATING_SECONDS)
    except ApiError as error:
        log.warning("request failed", extra={"what": what, "status": error.status, "error": error.message})
        return Retry("APIServerTrouble", f"{what}: the API server answered {error.reason}")
