"""What vLLM's server shows of itself, without a model: flags, model names, adapters, gauges, errors.

`python -m tests.integration.servers.vllm serve MODEL [flags]`; flags that the operator does not give are refused.
A request may say how long it takes: `{"seconds": 3}`.
"""

import argparse
import asyncio
import signal
import time
from typing import Any

from aiohttp import web

_KNOWN = ("served-model-name", "host", "port", "tensor-parallel-size", "max-model-len", "revision", "max-loras")


class Engine:
    """Names that it serves, and what it works on."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.running = 0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Answers with the name that was asked for, which tells the model from its adapters."""
        body: dict[str, Any] = await request.json()
        model = body.get("model")
        if model not in self.names:
            error = {"message": f"The model `{model}` does not exist.", "type": "NotFoundError", "code": 404}
            return web.json_response({"error": error}, status=404)
        self.running += 1
        try:
            await asyncio.sleep(float(body.get("seconds", 0)))
        finally:
            self.running -= 1
        message = {"role": "assistant", "content": f"I am {model}."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        document = {"id": "chatcmpl-1", "object": "chat.completion", "created": int(time.time()), "model": model}
        return web.json_response({**document, "choices": [choice], "usage": usage})

    async def models(self, _: web.Request) -> web.Response:
        """All names."""
        return web.json_response({"object": "list", "data": [{"id": n, "object": "model"} for n in self.names]})

    async def metrics(self, _: web.Request) -> web.Response:
        """The gauges by which it is scaled and drained."""
        labels = f'{{engine="0",model_name="{self.names[0]}"}}'
        lines = [f"vllm:num_requests_running{labels} {self.running:.1f}", f"vllm:num_requests_waiting{labels} 0.0"]
        return web.Response(text="\n".join(lines) + "\n")


async def _healthy(_: web.Request) -> web.Response:
    return web.Response()


def main() -> None:
    """Serve until it is told to stop, then at once: whoever waits for it has to do so before."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("role", choices=["serve"])
    parser.add_argument("model")
    for flag in _KNOWN:
        parser.add_argument(f"--{flag}")
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--lora-modules", nargs="+", default=[])
    given = parser.parse_args()
    if given.lora_modules and not given.enable_lora:
        parser.error("--lora-modules without --enable-lora")
    adapters = dict(module.split("=", 1) for module in given.lora_modules)
    engine = Engine([given.served_model_name, *adapters])
    app = web.Application()
    app.router.add_get("/health", _healthy)
    app.router.add_get("/metrics", engine.metrics)
    app.router.add_get("/v1/models", engine.models)
    app.router.add_post("/v1/chat/completions", engine.chat)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    web.run_app(app, host="127.0.0.1", port=int(given.port), print=None, handle_signals=False)


if __name__ == "__main__":
    main()
