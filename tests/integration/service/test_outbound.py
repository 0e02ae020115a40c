"""URLs inside requests: what is fetched, and every way inside that is not taken.

The server is a real one on loopback, which is refused; where something may be fetched the check of addresses is the
test's own, and everything else is as it runs.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from aiapp_service import outbound
from aiapp_service.outbound import Fetched, NotFetched, Outbound

PIXEL = b"\x89PNG-pixel"
IMAGES = ("image/",)


@dataclass
class Names(AbstractResolver):
    """A name server under the test's control: each question takes the next answer, the last one stays."""

    answers: dict[str, list[list[str]]]
    asked: list[str] = field(default_factory=list)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        told = self.answers.get(host, [[]])
        found = told.pop(0) if len(told) > 1 else told[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in found
        ]

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Site:
    """A web server; `visits` are the paths that were asked for."""

    port: int = 0
    visits: list[str] = field(default_factory=list)

    def outbound(self, names: Names, may_reach: Callable[[str], bool] = lambda address: True, *hosts: str) -> Outbound:
        allowed = hosts or ("img.example.com", "cdn.example.com")
        return Outbound([f"{host}:{self.port}" for host in allowed], names, may_reach)

    def url(self, path: str = "/pixel", host: str = "img.example.com") -> str:
        return f"http://{host}:{self.port}{path}"


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    found = Site()

    async def answer(request: web.Request) -> web.StreamResponse:
        found.visits.append(request.path)
        query = request.query
        if target := query.get("to", "/loop" if request.path == "/loop" else ""):
            return web.Response(status=int(query.get("status", "302")), headers={"Location": target})
        if "endless" in query:
            response = web.StreamResponse(headers={"Content-Type": "image/png"})
            await response.prepare(request)
            while True:
                await response.write(b"x" * 65536)
        if "slow" in query:
            await asyncio.sleep(3600)
        headers = {"Content-Encoding": "gzip"} if "gzip" in query else {}
        status = int(query.get("status", "200"))
        body = b"x" * int(query.get("size", "0")) or PIXEL
        return web.Response(body=body, status=status, content_type=query.get("type", "image/png"), headers=headers)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.port = runner.addresses[0][1]
        yield found
    finally:
        await runner.cleanup()


def names(**answers: str) -> Names:
    known = {"img.example.com": [["127.0.0.1"]], "cdn.example.com": [["127.0.0.1"]]}
    return Names({**known, **{name: [[address]] for name, address in answers.items()}})


async def fetch(out: Outbound, url: str, most_bytes: int = 1000) -> Fetched:
    return await out.fetch(url, most_bytes=most_bytes, content_types=IMAGES)


async def test_what_may_be_fetched_is() -> None:
    async with site() as server:
        found = await fetch(server.outbound(names()), server.url())
        assert found == Fetched("image/png", PIXEL)
        found = await fetch(server.outbound(names()), server.url("/a?size=1000"))
        assert len(found.body) == 1000


async def test_loopback_behind_an_allowed_name_is_not_reached() -> None:
    async with site() as server:
        out = Outbound([f"img.example.com:{server.port}"], names())
        with pytest.raises(NotFetched, match="address that may not be reached"):
            await fetch(out, server.url())
        assert server.visits == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["169.254.169.254"],
        ["10.0.0.1"],
        ["fd00:ec2::254"],
        ["fe80::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["0.0.0.0"],  # noqa: S104  # it is not bound to
        ["93.184.215.14", "127.0.0.1"],
        [],
    ],
    ids=str,
)
async def test_each_address_of_a_name_is_checked(addresses: list[str]) -> None:
    resolver = Names({"img.example.com": [addresses]})
    with pytest.raises(NotFetched, match="address that may not be reached"):
        await fetch(Outbound(["img.example.com"], resolver), "http://img.example.com/x")
    assert resolver.asked == ["img.example.com"]


async def test_second_answer_of_a_name_server_changes_nothing() -> None:
    """DNS rebinding: what is connected to is what was checked."""
    async with site() as server:
        checked: list[str] = []
        resolver = Names({"img.example.com": [["127.0.0.1"], ["127.0.0.66"]]})
        out = server.outbound(resolver, lambda address: not checked.append(address))
        assert (await fetch(out, server.url())).body == PIXEL
        assert resolver.asked == ["img.example.com"]
        assert checked == ["127.0.0.1"]


async def test_each_connection_is_checked_anew() -> None:
    async with site() as server:
        resolver = Names({"img.example.com": [["127.0.0.1"], ["169.254.169.254"]]})
        out = server.outbound(resolver, lambda address: address == "127.0.0.1")
        with pytest.raises(NotFetched, match="address that may not be reached"):
            await fetch(out, server.url(f"/x?to={server.url('/y')}"))
        assert server.visits == ["/x"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://017700000001/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[fe80::1%25eth0]/",
        "http://0/",
        "http://\u2460\u2461\u2466.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://metadata.google.internal/",
        "http://postgres/",
        "http://postgres.team.svc/",
        "http://postgres.team.svc.cluster.local/",
        "http://postgres.team.svc.corp.example/",
        "http://printer.local/",
    ],
)
async def test_names_and_numbers_that_lead_inside_do_not_even_when_they_are_listed(url: str) -> None:
    host = outbound.URL(url).host or ""
    resolver = Names({host: [["93.184.215.14"]]})
    for hosts in (["img.example.com"], [host]):
        with pytest.raises(NotFetched, match=r"fetchHosts|inside|may not be reached"):
            await fetch(Outbound(hosts, resolver), url)
    assert resolver.asked == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///etc/passwd", "only http and https"),
        ("gopher://img.example.com/", "only http and https"),
        ("ftp://img.example.com/", "only http and https"),
        ("data:image/png;base64,AAAA", "only http and https"),
        ("//img.example.com/", "only http and https"),
        ("/etc/passwd", "only http and https"),
        ("", "only http and https"),
        ("http://", "URL"),
        ("http://img.example.com:99999/", "not a URL"),
        ("http://[::1", "not a URL"),
        ("http://user:pass@img.example.com/", "user or password"),
        ("http://img.example.com@evil.com/", "user or password"),
        ("http://img.example.com:8080/", "fetchHosts"),
        ("http://img.example.com.evil.com/", "fetchHosts"),
        ("http://evil.com/?img.example.com", "fetchHosts"),
        ("http://evil.com#img.example.com", "fetchHosts"),
        ("http://evil.com\\@img.example.com/", "not a URL"),
        ("http://img.example.com%2eevil.com/", "fetchHosts"),
        ("http://img.example.com./", "fetchHosts"),
        ("https://img.example.com/" + "a" * 5000, "longer than"),
        ("http://img.example.com\r\nHost: x/", "URL|fetchHosts"),
    ],
)
async def test_urls_that_are_not_fetched(url: str, words: str) -> None:
    resolver = Names({"img.example.com": [["93.184.215.14"]]})
    with pytest.raises(NotFetched, match=words):
        await fetch(Outbound(["img.example.com"], resolver), url)
    assert resolver.asked == []


async def test_nothing_is_fetched_where_no_host_is_listed() -> None:
    with pytest.raises(NotFetched, match="fetchHosts"):
        await fetch(Outbound([]), "https://img.example.com/")


async def test_redirects_are_followed_to_listed_hosts() -> None:
    async with site() as server:
        out = server.outbound(names())
        there = server.url("/there", host="cdn.example.com")
        assert (await fetch(out, server.url(f"/x?to={there}"))).body == PIXEL
        assert (await fetch(out, server.url("/x?to=/relative&status=307"))).body == PIXEL
        assert server.visits == ["/x", "/there", "/x", "/relative"]


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/",
        "file:///etc/passwd",
        "http://evil.com/",
        "//evil.com/x",
        "http://postgres.team.svc/",
        "http://user@img.example.com/",
        "http://[::1/",
    ],
)
async def test_redirects_lead_nowhere_else(target: str) -> None:
    async with site() as server:
        with pytest.raises(NotFetched):
            await fetch(server.outbound(names()), server.url(f"/x?to={target}"))
        assert server.visits == ["/x"]


async def test_redirects_have_an_end() -> None:
    async with site() as server:
        with pytest.raises(NotFetched, match="more than 3 redirects"):
            await fetch(server.outbound(names()), server.url("/loop"))
        assert server.visits == ["/loop"] * 4


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/a?size=1001", "larger than 1000"),
        ("/a?endless=1", "larger than 1000"),
        ("/a?type=text/html", "another type"),
        ("/a?gzip=1", "encoding"),
        ("/a?status=404", "answered 404"),
        ("/a?status=500", "answered 500"),
        ("/a?slow=1", "did not answer within"),
    ],
)
async def test_what_is_there_has_bounds(path: str, words: str, monkeypatch) -> None:
    if "slow" in path:
        monkeypatch.setattr(outbound, "SECONDS", 0.5)
    async with site() as server:
        with pytest.raises(NotFetched, match=words):
            await fetch(server.outbound(names()), server.url(path))


async def test_nobody_there() -> None:
    async with site() as server:
        out, url = server.outbound(names()), server.url()
    with pytest.raises(NotFetched, match="cannot be reached"):
        await fetch(out, url)


async def test_search_domains_of_a_pod_do_not_count(monkeypatch) -> None:
    """`shop.team` would be the Service `shop` of the namespace `team`."""
    asked: list[str] = []

    def getaddrinfo(host: str, *_args: object, **_fields: object) -> list[object]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(NotFetched, match="cannot be reached"):
        await fetch(Outbound(["shop.team"]), "http://shop.team/")
    assert asked == ["shop.team."]
