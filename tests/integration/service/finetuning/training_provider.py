"""A provider with OpenAI's files and fine-tuning APIs, and chat with the models that came of it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.integration.service.listening import listening


@dataclass
class TrainingProvider:
    """What a job comes to is set on it; what it was given is kept."""

    files: dict[str, bytes] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # models of chats
    refuse: dict[str, Any] | None = None  # error of a creation
    lose_reply: bool = False  # the next creation is done, and nobody hears of it
    down: bool = False
    url: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["TrainingProvider"]:
        """Listen while the context lasts."""
        app = web.Application()
        app.router.add_post("/v1/files", self._upload)
        app.router.add_delete("/v1/files/{name}", self._remove)
        app.router.add_post("/v1/fine_tuning/jobs", self._create)
        app.router.add_get("/v1/fine_tuning/jobs", self._list)
        app.router.add_get("/v1/fine_tuning/jobs/{name}", self._get)
        app.router.add_post("/v1/fine_tuning/jobs/{name}/{wanted:cancel|pause|resume}", self._tell)
        app.router.add_get("/v1/fine_tuning/jobs/{name}/events", self._events)
        app.router.add_get("/v1/fine_tuning/jobs/{name}/checkpoints", self._checkpoints)
        app.router.add_post("/v1/chat/completions", self._chat)
        async with listening(app) as base:
            self.url = f"{base}/v1"
            yield self

    def say(self, job: str, message: str) -> None:
        """An event of a job."""
        said = self.events.setdefault(job, [])
        event = {"id": f"ev-{len(said)}", "object": "fine_tuning.job.event", "created_at": int(time.time())}
        said.append({**event, "level": "info", "message": message, "type": "message"})

    def ends(self, status: str, **fields: Any) -> None:
        """All jobs come to this."""
        for job in self.jobs.values():
            job.update(status=status, finished_at=int(time.time()), **fields)

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "fine-tune"
        part = form["file"]
        assert isinstance(part, web.FileField)
        name = f"file-of-provider-{len(self.files)}"
        self.files[name] = part.file.read()
        document = {"id": name, "object": "file", "bytes": len(self.files[name]), "created_at": 1}
        return web.json_response({**document, "filename": part.filename, "purpose": "fine-tune", "status": "processed"})

    async def _remove(self, request: web.Request) -> web.Response:
        self.removed.append(request.match_info["name"])
        return web.json_response({"id": request.match_info["name"], "object": "file", "deleted": True})

    async def _create(self, request: web.Request) -> web.Response:
        if self.down:
            return web.Response(status=503)
        body = await request.json()
        if self.refuse is not None:
            return web.json_response({"error": self.refuse}, status=400)
        self.requests.append(body)
        name = f"ftjob-of-provider-{len(self.jobs)}"
        self.jobs[name] = {
            "id": name,
            "object": "fine_tuning.job",
            "created_at": int(time.time()),
            "status": "queued",
            "model": body["model"],
            "training_file": body["training_file"],
            "organization_id": "org-of-provider",
            "hyperparameters": {"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 0.5},
            "result_files": [],
            "seed": 7,
            "fine_tuned_model": None,
            "trained_tokens": None,
            "error": None,
        }
        self.say(name, "created")
        if self.lose_reply and request.transport is not None:
            self.lose_reply = False
            request.transport.abort()
        return web.json_response(self.jobs[name])

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": list(self.jobs.values())[::-1], "has_more": False})

    async def _get(self, request: web.Request) -> web.Response:
        if self.down:
            return web.Response(status=503)
        return web.json_response(self.jobs[request.match_info["name"]])

    async def _tell(self, request: web.Request) -> web.Response:
        name, wanted = request.match_info["name"], request.match_info["wanted"]
        self.told.append(wanted)
        self.jobs[name]["status"] = {"cancel": "cancelled", "pause": "paused", "resume": "running"}[wanted]
        return web.json_response(self.jobs[name])

    async def _events(self, request: web.Request) -> web.Response:
        data = self.events[request.match_info["name"]][::-1]
        return web.json_response({"object": "list", "data": data, "has_more": False})

    async def _checkpoints(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": self.checkpoints, "has_more": False})

    async def _chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body["model"])
        message = {"role": "assistant", "content": f"I am {body['model']}"}
        usage = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
        head = {"id": "c", "object": "chat.completion", "created": 1, "model": body["model"]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({**head, "choices": [choice], "usage": usage})
