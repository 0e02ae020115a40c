"""Responses of the API server, as it words them."""

import json
from collections.abc import Iterable

from aiapp_operator.api.manifest import Manifest
from aiapp_operator.kube.transport import Response


class Refusal(Exception):
    """The request is answered with a status of 400 or more."""

    def __init__(self, code: int, reason: str, message: str, causes: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        details = {"causes": [{"field": field, "message": words} for field, words in causes]}
        self.status: Manifest = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": code,
            "reason": reason,
            "message": message,
            "details": details,
        }

    @property
    def response(self) -> Response:
        return answer(self.status, self.status["code"])


def answer(document: Manifest, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(code, json.dumps(document).encode(), headers or {})


def not_found(kind: str, name: str) -> Refusal:
    return Refusal(404, "NotFound", f'{kind} "{name}" not found')


def already_exists(kind: str, name: str) -> Refusal:
    return Refusal(409, "AlreadyExists", f'{kind} "{name}" already exists')


def conflict(kind: str, name: str, why: str) -> Refusal:
    return Refusal(409, "Conflict", f'Operation cannot be fulfilled on {kind} "{name}": {why}')


def too_old(version: int, current: int) -> Refusal:
    return Refusal(410, "Expired", f"too old resource version: {version} ({current})")


def invalid(kind: str, name: str, causes: list[tuple[str, str]]) -> Refusal:
    words = ", ".join(f"{field}: {message}" for field, message in causes)
    return Refusal(422, "Invalid", f'{kind} "{name}" is invalid: {words}', causes)


def terminating(kind: str, name: str, namespace: str) -> Refusal:
    message = (
        f'{kind} "{name}" is forbidden: unable to create new content in namespace {namespace} because it is '
        "being terminated"
    )
    return Refusal(403, "Forbidden", message, [("metadata.namespace", f"namespace {namespace} is being terminated")])
