"""The least that a relay in Python can cost: aiohttp in, aiohttp out, nothing looked at."""

import sys

import aiohttp
from aiohttp import web

_CHUNK = 64 * 1024


async def _application(upstream: str) -> web.Application:
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)

    async def relay(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": "application/json"}
        async with session.post(upstream + request.path, data=await request.read(), headers=headers) as answer:
            if answer.content_type != "text/event-stream":
                return web.Response(body=await answer.read(), content_type=answer.content_type)
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            return response

    async def close(_app: web.Application) -> None:
        await session.close()

    async def ready(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/chat/completions", relay)
    app.router.add_get("/livez", ready)
    app.on_cleanup.append(close)
    return app


if __name__ == "__main__":
    web.run_app(_application(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), access_log=None, print=None)
