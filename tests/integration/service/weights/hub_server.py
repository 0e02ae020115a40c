"""A hub as Hugging Face's: repositories with revisions, tokens, gated ones, and connections that break."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

TOKEN = "hf_token-of-tests"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """What it has, and what was asked of it."""

    files: dict[str, bytes]
    repo: str = "org/model"
    private: bool = False
    gated: bool = False
    break_after: list[int] = field(default_factory=list)  # bytes of an answer, after which the connection ends
    lie_about: str = ""  # a file whose content is not what the listing says
    asked: list[tuple[str, str]] = field(default_factory=list)  # path and Range
    sent: int = 0  # bytes of files
    port: int = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def listing(self) -> dict[str, object]:
        """As the API gives it: large files with their SHA-256, small ones with their name in git."""
        siblings = []
        for path, content in self.files.items():
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            entry: dict[str, object] = {"rfilename": path, "size": len(content), "blobId": blob}
            if len(content) > 1000:
                entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            siblings.append(entry)
        return {"id": self.repo, "sha": COMMIT, "siblings": siblings}


@contextmanager
def running_hub(hub: FakeHub) -> Iterator[FakeHub]:  # noqa: C901  # two servers that share what they are asked
    """Serve it while the context lasts. Files are on another port, to which it redirects, as a CDN is."""

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append((path, self.headers.get("Range", "")))
            allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            if not path.startswith((f"/api/models/{hub.repo}/", f"/{hub.repo}/")) or (hub.private and not allowed):
                return self._error(404 if allowed else 401, "RepoNotFound")
            if hub.gated:
                return self._error(403, "GatedRepo")
            if "/revision/" in path:
                if not path.endswith(("/main", "/v2", COMMIT)):
                    return self._error(404, "RevisionNotFound")
                return self._json(hub.listing())
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{cdn.server_port}/{path.split(COMMIT, 1)[1].lstrip('/')}")
            self.end_headers()
            return None

        def _json(self, document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _error(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Cdn(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path).lstrip("/")
            assert "Authorization" not in self.headers, "the token stays with the hub"
            content = hub.files[path]
            if hub.lie_about == path:
                content = bytes(len(content))
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            part = content[int(first) : int(last) + 1]
            self.send_response(206)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if hub.break_after:
                part = part[: hub.break_after.pop(0)]
            self.wfile.write(part)
            hub.sent += len(part)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    api, cdn = ThreadingHTTPServer(("127.0.0.1", 0), Api), ThreadingHTTPServer(("127.0.0.1", 0), Cdn)
    hub.port = api.server_port
    for server in (api, cdn):
        Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        for server in (api, cdn):
            server.shutdown()
            server.server_close()
