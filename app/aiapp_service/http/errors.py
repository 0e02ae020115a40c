"""Errors in the shape that OpenAI clients understand."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

RETRY_SECONDS = "5"


class ApiError(Exception):
    """A request that is answered with an error. `param` names the field that is wrong."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type_: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type_
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        """The JSON body."""
        error = {"message": str(self), "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}

    def response(self) -> web.Response:
        """The HTTP response."""
        return web.json_response(self.document(), status=self.status, headers=self.headers)


def bad_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """400: the client has to change the request."""
    return ApiError(400, message, param=param, code=code)


def lacking(message: str, code: str = "not_configured") -> ApiError:
    """501: this app lacks a part; the message says which, and the field that gives it one."""
    return ApiError(501, message, type_="server_error", code=code)


def not_now(message: str, code: str = "store_unavailable") -> ApiError:
    """503: a store does not answer; the client may come again soon."""
    return ApiError(503, message, type_="server_error", code=code, headers={"Retry-After": RETRY_SECONDS})


def from_http_exception(error: web.HTTPException) -> ApiError:
    """What aiohttp itself refuses: unknown paths, wrong methods, bodies that are too large."""
    if error.status == 404:
        return ApiError(404, "there is nothing at this path", code="unknown_url")
    if error.status == 405:
        allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return ApiError(405, "this path does not take that method", code="method_not_allowed", headers=allowed)
    if error.status == 413:
        return ApiError(413, "the request is too large", code="request_too_large")
    return ApiError(error.status, error.reason or "the request failed")
