"""hf://: the Hugging Face hub, or a mirror of it, by the two routes of its HTTP API that a download needs.

Its own library throws away what it has of a file when it is stopped; a model of a hundred gigabytes has to go on.
"""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from aiapp_service.credentials import SecretFile
from aiapp_service.weights.errors import FetchFailed, Interrupted
from aiapp_service.weights.source import needed, parts_of, safe
from aiapp_service.weights.wanted import Check, File, Listing, git_blob, sha256

_CHUNK = 1024 * 1024
# The hub's network does not give more than 50 GB in one answer.
_MOST_IN_ONE_ANSWER = 8 * 1024**3
_SECONDS = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)


class Hub:
    """A repository, or one file of it (with all its parts, where it is split)."""

    def __init__(self, base_url: str, source: str, revision: str, token_file: Path | None) -> None:
        organisation, name, *file = source.removeprefix("hf://").split("/", 2)
        self._base = base_url.rstrip("/")
        self._repo = f"{organisation}/{name}"
        self._file = "".join(file).strip("/")
        self._revision = revision or "main"
        self._commit = ""
        self._token = SecretFile(token_file) if token_file is not None else None
        self._session: aiohttp.ClientSession | None = None

    async def list(self) -> Listing:
        """The files as they are at this moment's commit, which `read` then holds to."""
        url = f"{self._base}/api/models/{self._repo}/revision/{quote(self._revision, safe='')}?blobs=true"
        try:
            async with self._opened().get(url, headers=self._headers()) as answer:
                self._refuse(answer)
                document = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Interrupted(f"{self._base} does not answer: {type(error).__name__}") from None
        except ValueError:
            raise FetchFailed("SourceRefused", f"{self._base} does not speak the API of the hub") from None
        self._commit = str(document.get("sha") or self._revision)
        siblings = {str(s["rfilename"]): s for s in document.get("siblings") or ()}
        pattern = parts_of(self._file)
        wanted = {path for path in siblings if pattern.fullmatch(path)} if self._file else needed(siblings)
        if not wanted:
            what = f"no file {self._file}" if self._file else "no files"
            raise FetchFailed("ModelNotFound", f"{self._repo} has {what} at {self._revision}: correct model.source")
        return Listing(tuple(_file(path, siblings[path]) for path in sorted(wanted)), self._commit)

    async def read(self, file: File, start: int) -> AsyncGenerator[bytes, None]:
        """See Source."""
        url = f"{self._base}/{self._repo}/resolve/{quote(self._commit, safe='')}/{quote(file.path)}"
        while start < file.size:
            end = min(start + _MOST_IN_ONE_ANSWER, file.size) - 1
            # A token stays with the hub: it is not sent on to where the hub redirects to.
            headers = {**self._headers(), "Range": f"bytes={start}-{end}", "Accept-Encoding": "identity"}
            before = start
            try:
                async with self._opened().get(url, headers=headers) as answer:
                    self._refuse(answer)
                    skip = start if answer.status == 200 else 0
                    async for chunk in answer.content.iter_chunked(_CHUNK):
                        rest = chunk[skip:]
                        skip = max(0, skip - len(chunk))
                        if rest:
                            start += len(rest)
                            yield rest
            except (aiohttp.ClientError, TimeoutError) as error:
                raise Interrupted(f"{self._base} breaks off: {type(error).__name__}") from None
            if start == before:
                raise Interrupted(f"{self._base} gives nothing")

    async def close(self) -> None:
        """See Source."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_SECONDS, trust_env=True, auto_decompress=True)
        return self._session

    def _headers(self) -> dict[str, str]:
        token = self._token.get() if self._token is not None else None
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _refuse(self, answer: aiohttp.ClientResponse) -> None:
        status, code = answer.status, answer.headers.get("X-Error-Code", "")
        if status < 400:
            return
        what = f"{self._repo} at {self._base}"
        if code == "RevisionNotFound":
            raise FetchFailed("ModelNotFound", f"{self._repo} has no revision {self._revision}: correct model.revision")
        if status == 401:
            mend = "put a valid token into model.secretRef" if self._token is not None else "set model.secretRef"
            raise FetchFailed("ModelRefused", f"{what} is refused (401) or not there: {mend}, or correct the source")
        if status == 403:
            raise FetchFailed(
                "ModelRefused", f"{what} is refused (403): accept its terms with the account that model.secretRef is of"
            )
        if status in {404, 410}:
            raise FetchFailed("ModelNotFound", f"{what} is not there ({status}): correct model.source")
        if status in {408, 429} or status >= 500:
            raise Interrupted(f"{self._base} answers {status}")
        raise FetchFailed("SourceRefused", f"{what}: the hub answers {status}")


def _file(path: str, sibling: dict[str, Any]) -> File:
    lfs, size = sibling.get("lfs") or {}, sibling.get("size")
    check: Check | None = None
    if lfs.get("sha256"):
        check = sha256(str(lfs["sha256"]))
    elif sibling.get("blobId"):
        check = git_blob(str(sibling["blobId"]))
    tag = str(lfs.get("sha256") or sibling.get("blobId") or "")
    return File(safe(path), int(lfs.get("size") or size or 0), check, tag)
