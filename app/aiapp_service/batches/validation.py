"""Whether every line of a batch is a request that can be asked; what is wrong is said with line and field."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiapp_service.batches.lines import MOST_LINE_BYTES
from aiapp_service.config import ModelKind
from aiapp_service.gateway import Running
from aiapp_service.http import bodies, json_text
from aiapp_service.http.errors import ApiError
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.principal import Principal

MOST_LINES = 50_000
MOST_FILE_BYTES = 200 * 1024 * 1024
MOST_EMBEDDED = 50_000
MOST_ERRORS = 100
MOST_CUSTOM_ID = 512
_DIGEST_BYTES = 12
_FIELDS = frozenset({"custom_id", "method", "url", "body"})


class WrongLine(ValueError):
    """What is wrong with a line, and with which of its fields."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


@dataclass(frozen=True)
class Line:
    """One request of a batch."""

    number: int
    custom_id: str
    body: dict[str, Any]


def parse(number: int, text: bytes, url: str) -> Line:
    """The request on a line.

    Raises:
        WrongLine: it is none, or not one for `url`.
    """
    try:
        document = json_text.parse(text)
    except ValueError as error:
        raise WrongLine("invalid_json_line", f"the line is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise WrongLine("invalid_json_line", "the line has to be a JSON object: {custom_id, method, url, body}")
    custom_id = document.get("custom_id")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MOST_CUSTOM_ID:
        message = f"custom_id is required, and has to be a text of at most {MOST_CUSTOM_ID} characters"
        raise WrongLine("invalid_custom_id", message, "custom_id")
    if document.get("method") != "POST":
        raise WrongLine("invalid_method", "method has to be POST", "method")
    if document.get("url") != url:
        raise WrongLine("invalid_url", f"url has to be the endpoint of the batch, {url}", "url")
    if not isinstance(document.get("body"), dict):
        raise WrongLine("invalid_body", "body is required, and has to be an object", "body")
    if unknown := sorted(document.keys() - _FIELDS):
        raise WrongLine("unknown_field", f"{unknown[0][:100]!r} is no field of a line", unknown[0][:100])
    return Line(number, custom_id, document["body"])


@dataclass
class Validation:
    """Goes through a file, line after line. What it keeps of a line is a few bytes."""

    running: Running
    principal: Principal
    url: str
    endpoint: Endpoint
    errors: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    _models: set[str] = field(default_factory=set)
    _names: set[bytes] = field(default_factory=set)
    _embedded: int = 0

    @property
    def model(self) -> str | None:
        """The one model that is asked; None where there are several."""
        return next(iter(self._models)) if len(self._models) == 1 else None

    @property
    def failed(self) -> bool:
        """Whether it is enough to know."""
        return len(self.errors) >= MOST_ERRORS or self.total > MOST_LINES or self._embedded > MOST_EMBEDDED

    def look_at(self, number: int, text: bytes) -> None:
        """Check the next line."""
        self.total += 1
        if self.total > MOST_LINES:
            self._error(number, WrongLine("too_many_lines", f"a batch has at most {MOST_LINES} lines: make several"))
            return
        try:
            line = parse(number, text, self.url)
            self._check_name(line)
            self._check_body(line)
        except WrongLine as error:
            self._error(number, error)

    def too_long(self, number: int) -> None:
        """A line that is not even looked at."""
        self._error(number, WrongLine("line_too_long", f"a line has at most {MOST_LINE_BYTES} bytes"))

    def close(self) -> None:
        """There are no more lines."""
        if not self.total and not self.errors:
            self._error(None, WrongLine("empty_file", "the file has no lines", "input_file_id"))

    def _check_name(self, line: Line) -> None:
        name = hashlib.blake2b(line.custom_id.encode("utf-8", "replace"), digest_size=_DIGEST_BYTES).digest()
        if name in self._names:
            message = f"custom_id {line.custom_id[:100]!r} stands on a line before, too"
            raise WrongLine("duplicate_custom_id", message, "custom_id")
        self._names.add(name)

    def _check_body(self, line: Line) -> None:
        body, call = line.body, Call("", principal=self.principal)
        kind = ModelKind.EMBEDDING if self.endpoint is Endpoint.EMBEDDINGS else ModelKind.CHAT
        try:
            if kind is ModelKind.CHAT:
                self.running.prompts.add_model(body)
            self._models.add(bodies.route_of(self.running.router, body, kind, call).name)
            if bodies.wants_stream(body):
                raise WrongLine(
                    "stream_not_supported", "answers of a batch are not streamed: leave it out", "body.stream"
                )
            self._check_content(body)
        except ApiError as error:
            param = f"body.{error.param}" if error.param else "body"
            raise WrongLine(error.code or "invalid_request", str(error), param) from error

    def _check_content(self, body: Mapping[str, Any]) -> None:
        if self.endpoint is Endpoint.CHAT:
            bodies.require_messages(dict(body))
        elif self.endpoint is Endpoint.EMBEDDINGS:
            bodies.require_input(dict(body))
            given = body["input"]
            self._embedded += len(given) if isinstance(given, list) and not isinstance(given[0], int) else 1
            if self._embedded > MOST_EMBEDDED:
                message = f"a batch has at most {MOST_EMBEDDED} texts to embed: make several"
                raise WrongLine("too_many_inputs", message, "body.input")

    def _error(self, number: int | None, error: WrongLine) -> None:
        self.errors.append({"code": error.code, "line": number, "message": str(error), "param": error.param})
