"""The queue `embeddings`: vectors for many texts, made in the background.

Data:   {"model": "embed", "input": ["text", ...], "dimensions": 256}     at most MOST_INPUTS texts
Result: {"model": "embed", "embeddings": [[0.1, ...], ...], "usage": {"input": 12}}
"""

import json
from collections.abc import Mapping
from typing import Any

from aiapp_service.billing.ledger import Ledger
from aiapp_service.config import ModelKind
from aiapp_service.gateway import Gateway
from aiapp_service.jobs.job import Handler, Job, JobRefused
from aiapp_service.llm.route import Route
from aiapp_service.llm.router import Router
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.llm.usage import Usage, cost_of, usage_of
from aiapp_service.pipeline.call import Call
from aiapp_service.telemetry.metrics import Metrics

QUEUE = "embeddings"
MOST_INPUTS = 256


def handler(gateway: Gateway, metrics: Metrics, ledger: Ledger | None = None) -> Handler:
    """The handler of the queue; each job uses the routes of the moment it begins, and each try is billed."""

    async def handle(job: Job) -> dict[str, Any]:
        router = gateway.current.router
        route = _route(router, job.data)
        body = {"input": _inputs(job.data), **_dimensions(job.data)}
        with metrics.active.track_inprogress():
            answer = await router.answer(route, Endpoint.EMBEDDINGS, body)
        if answer.status != 200:
            raise JobRefused(f"backend {answer.backend.name} refuses the request ({answer.status})")
        document = json.loads(answer.body)
        usage = usage_of(document)
        if usage is not None:
            call = Call(job.id, endpoint=Endpoint.EMBEDDINGS, model=route.name, backend=answer.backend, worked=True)
            call.usage, call.cost = usage, cost_of(usage, answer.backend.price)
            _count(metrics, call)
            if ledger is not None:
                ledger.note(call)
        return _result(route, document, usage)

    return handle


def _route(router: Router, data: Mapping[str, Any]) -> Route:
    name = data.get("model")
    route = router.routes.get(name) if isinstance(name, str) else None
    if route is None or route.kind is not ModelKind.EMBEDDING:
        known = ", ".join(route.name for route in router.routes.values() if route.kind is ModelKind.EMBEDDING)
        raise JobRefused(f"model: {name!r} is no embedding model of this app; there are: {known or 'none'}")
    return route


def _inputs(data: Mapping[str, Any]) -> list[str]:
    inputs = data.get("input")
    if not isinstance(inputs, list) or not inputs or not all(isinstance(text, str) and text for text in inputs):
        raise JobRefused("input: has to be a list of texts, none of them empty")
    if len(inputs) > MOST_INPUTS:
        raise JobRefused(f"input: has {len(inputs)} texts, at most {MOST_INPUTS} go into one job")
    return inputs


def _dimensions(data: Mapping[str, Any]) -> dict[str, int]:
    wanted = data.get("dimensions")
    if wanted is None:
        return {}
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        raise JobRefused("dimensions: has to be a positive number")
    return {"dimensions": wanted}


def _count(metrics: Metrics, call: Call) -> None:
    if call.usage is not None:
        for type_, count in call.usage.by_type().items():
            metrics.tokens.labels(call.model, type_, Endpoint.EMBEDDINGS).inc(count)
    if call.cost is not None:
        metrics.cost.labels(call.model).inc(float(call.cost))


def _result(route: Route, document: dict[str, Any], usage: Usage | None) -> dict[str, Any]:
    vectors = [entry["embedding"] for entry in sorted(document["data"], key=lambda entry: entry["index"])]
    return {"model": route.name, "embeddings": vectors, "usage": usage.by_type() if usage else {}}
