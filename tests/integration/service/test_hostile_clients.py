"""Clients that speak HTTP on a raw socket, and not to get an answer."""

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from aiapp_service.config import AuthConfig
from aiapp_service.http import incoming, server
from tests.integration.service.conftest import Serve, Service, config, mock
from tests.integration.service.upstream import Upstream

NOBODY = "http://127.0.0.1:9/v1"
SECONDS = 10.0
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
HELLO = b'{"model": "chat", "messages": [{"role": "user", "content": "x"}]}'


@asynccontextmanager
async def connected(api: Service) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = api.url.rpartition("//")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def status_of(reader: asyncio.StreamReader) -> int:
    """The status of an answer; 0 when the connection is closed instead."""
    try:
        line = await asyncio.wait_for(reader.readline(), SECONDS)
    except ConnectionError:
        return 0
    return int(line.split()[1]) if line else 0


async def closed(reader: asyncio.StreamReader) -> bool:
    try:
        await asyncio.wait_for(reader.read(), SECONDS)
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


async def drip(writer: asyncio.StreamWriter, text: bytes, stop: asyncio.Event) -> None:
    """One byte after the other until told to stop."""
    for number in range(10_000):
        if stop.is_set():
            return
        try:
            writer.write(text[number % len(text) :][:1])
            await writer.drain()
        except ConnectionError:
            return
        await asyncio.sleep(0.02)


@asynccontextmanager
async def dripping(writer: asyncio.StreamWriter, text: bytes) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(drip(writer, text, stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def works(api: Service) -> bool:
    async with api.http.get(f"{api.url}/livez") as answer:
        return answer.status == 200


@pytest.mark.parametrize("sent", [b"", b"POST /v1/chat", POST, POST + b"X-A: "], ids=range(4))
async def test_headers_that_never_end(serve: Serve, monkeypatch, sent: bytes) -> None:
    monkeypatch.setattr(server, "KEEPALIVE_SECONDS", 0.4)
    async with serve(config(NOBODY)) as api, connected(api) as (reader, writer):
        writer.write(sent)
        async with dripping(writer, b"X-Slow: 1\r\n" if sent else b"\r\n"):
            assert await closed(reader)
        assert await works(api)


async def test_headers_of_a_second_request_that_never_end(serve: Serve, monkeypatch) -> None:
    monkeypatch.setattr(server, "KEEPALIVE_SECONDS", 0.4)
    async with serve(config(NOBODY)) as api, connected(api) as (reader, writer):
        writer.write(LIVEZ)
        assert await status_of(reader) == 200
        writer.write(b"GET /livez HTTP/1.1\r\n")
        async with dripping(writer, b"X-Slow: 1\r\n"):
            assert await closed(reader)


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 1000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nF4240\r\n"]
)
@pytest.mark.parametrize("drips", [True, False])
async def test_body_that_never_ends(serve: Serve, monkeypatch, framing: bytes, drips: bool) -> None:
    monkeypatch.setattr(incoming, "GRACE_SECONDS", 0.4)
    monkeypatch.setattr(server, "LINGERING_SECONDS", 0.2)
    async with serve(config(NOBODY)) as api, connected(api) as (reader, writer):
        writer.write(POST + framing + b'{"model": "')
        async with dripping(writer, b"x" if drips else b" "):
            assert await status_of(reader) == 408
            assert await closed(reader)
        assert api.metric("ai_active_requests") == 0
        assert await works(api)


async def test_slow_body_that_comes_is_taken(serve: Serve, monkeypatch) -> None:
    """Time is given by what has come, so that a slow line is not a slow client."""
    monkeypatch.setattr(incoming, "GRACE_SECONDS", 0.3)
    provider, backend = mock()
    models = (config(NOBODY).models[0].model_copy(update={"backends": (backend,)}),)
    pad = b" " * 16 * 1024
    async with (
        serve(config(NOBODY, providers=(provider,), models=models)) as api,
        connected(api) as (reader, writer),
    ):
        length = str(len(HELLO) + 6 * len(pad)).encode()
        writer.write(POST + b"Content-Length: " + length + b"\r\n\r\n")
        for _ in range(6):
            writer.write(pad)
            await writer.drain()
            await asyncio.sleep(0.1)
        writer.write(HELLO)
        assert await status_of(reader) == 200


async def test_nobodys_body_is_not_waited_for(serve: Serve, monkeypatch) -> None:
    monkeypatch.setattr(server, "LINGERING_SECONDS", 0.2)
    async with serve(config(NOBODY, auth=AuthConfig())) as api, connected(api) as (reader, writer):
        writer.write(POST + b"Content-Length: 1000000\r\n\r\n")
        async with dripping(writer, b"x"):
            assert await status_of(reader) == 401
            assert await closed(reader)


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        (b"X-Large: " + b"x" * 30_000 + b"\r\n", {400, 431, 0}),
        (b"Authorization: Bearer " + b"x" * 1_000_000 + b"\r\n", {400, 431, 0}),
        (b"X-" + b"x" * 30_000 + b": 1\r\n", {400, 431, 0}),
        (b"".join(b"X-%d: 1\r\n" % number for number in range(500)), {400, 431, 0}),
        (b"Authorization: Bearer " + b"x" * 17_000 + b"\r\n", {401}),
        (b"Cookie: " + b"x" * 7_000 + b"\r\n", {401}),
    ],
    ids=["value", "token", "name", "many", "long token", "cookie"],
)
async def test_giant_headers(serve: Serve, headers: bytes, statuses: set[int], caplog) -> None:
    async with serve(config(NOBODY, auth=AuthConfig())) as api, connected(api) as (reader, writer):
        writer.write(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n")
        assert await status_of(reader) in statuses
        assert await works(api)
    assert "Traceback" not in caplog.text
    assert "xxxxxxxx" not in caplog.text


async def test_giant_request_line(serve: Serve) -> None:
    async with serve(config(NOBODY)) as api, connected(api) as (reader, writer):
        writer.write(b"GET /v1/models?" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await status_of(reader) in (400, 414, 0)
        assert await works(api)


@pytest.mark.parametrize(
    "text",
    [
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + LIVEZ,
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}    ",
        POST + b"Content-Length: +5\r\n\r\n{}   ",
        POST + b"Content-Length: 5, 5\r\n\r\n{}   ",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b"X-A: 1\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"X-A: a\x00b\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\n{}   \r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v1/models HTTP/9.9\r\nHost: x\r\n\r\n",
    ],
    ids=range(11),
)
async def test_requests_that_two_servers_could_read_differently(serve: Serve, text: bytes, caplog) -> None:
    async with serve(config(NOBODY)) as api, connected(api) as (reader, writer):
        writer.write(text)
        assert await status_of(reader) in (400, 0)
        assert await closed(reader), "what follows is not taken for another request"
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1_000_000,
        b'{"model": "chat", "messages": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"model": "chat", "messages": [' + b"{}," * 600_000 + b"{}]}",
        b'{"model": "chat", "messages": [{"role": "user", "content": "x"}], "seed": ' + b"9" * 1_000_000 + b"}",
        b'{"model": "chat", "messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
        b'{"model": "chat", "messages": [{"role": "user", "content": "\\ud800"}]}',
    ],
    ids=["unclosed", "deep", "many", "digits", "infinity", "surrogate"],
)
async def test_json_bombs_reach_no_backend(serve: Serve, body: bytes) -> None:
    async with Upstream().running() as upstream, serve(config(upstream.url)) as api:
        async with api.http.post(f"{api.url}/v1/chat/completions", data=io.BytesIO(body)) as answer:
            assert answer.status == 400
            assert "JSON" in (await answer.json())["error"]["message"]
        assert upstream.bodies == []
        assert await works(api)


async def test_compressed_bombs(serve: Serve) -> None:
    bomb = gzip.compress(b'{"model": "' + b"x" * 40_000_000)
    async with serve(config(NOBODY)) as api:
        url, headers = f"{api.url}/v1/chat/completions", {"Content-Encoding": "gzip"}
        async with api.http.post(url, data=bomb, headers=headers) as answer:
            assert answer.status == 413
        async with api.http.post(url, data=b"no gzip", headers=headers) as answer:
            assert answer.status == 400
            assert json.loads(await answer.read())["error"]["message"]
        assert await works(api)
