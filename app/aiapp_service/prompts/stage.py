"""The stage that puts a prompt's messages before those of the request.

A request names it as in OpenAI's Responses API: `"prompt": {"id": "support", "version": "3", "variables": {...}}`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiapp_service.config import PromptConfig
from aiapp_service.files import Unusable, WatchedFiles
from aiapp_service.http.errors import ApiError, bad_request
from aiapp_service.pipeline.exchange import Exchange, Next, Outcome

if TYPE_CHECKING:
    from aiapp_service.prompts.template import PromptTemplate

HEADER = "x-aiapp-prompt"
_FIELDS = frozenset({"id", "version", "variables"})


class Prompts:
    """The prompts of a configuration, for requests."""

    def __init__(self, prompts: Sequence[PromptConfig], files: WatchedFiles) -> None:
        self._library = None
        if prompts:
            # Without prompts their language is not needed.
            from aiapp_service.prompts.library import Library  # noqa: PLC0415  # for a light start

            self._library = Library(prompts, files)

    async def stage(self, exchange: Exchange, following: Next) -> Outcome:
        """Render, where the request names a prompt."""
        if "prompt" in exchange.body:
            self._apply(exchange)
        return await following(exchange)

    def add_model(self, body: dict[str, Any]) -> None:
        """Give a request without a model the one that its prompt names; for the time before it has a route.

        Raises:
            ApiError: there is no such prompt, or it cannot be used.
        """
        if "model" not in body and isinstance(body.get("prompt"), dict):
            _, _, template = self._named(body["prompt"])
            if "model" in template.parameters:
                body["model"] = template.parameters["model"]

    def _apply(self, exchange: Exchange) -> None:
        given = exchange.body.pop("prompt")
        if given is None:
            return
        name, version, template = self._named(given)
        variables = given.get("variables")
        if not isinstance(variables, (dict, type(None))):
            raise bad_request("prompt.variables has to be an object", "prompt.variables")
        messages = _rendered(name, version, template, variables or {})
        exchange.body["messages"] = [*messages, *(exchange.body.get("messages") or ())]
        for parameter, value in template.parameters.items():
            exchange.body.setdefault(parameter, value)
        exchange.variables = list(_texts(variables or {}))
        exchange.call.headers[HEADER] = f"{name}@{version}"

    def _named(self, given: Any) -> tuple[str, str, "PromptTemplate"]:
        """Name, version and template."""
        if not isinstance(given, dict):
            raise bad_request("prompt has to be an object: {id, version, variables}", "prompt")
        if unknown := sorted(given.keys() - _FIELDS):
            raise bad_request(f"prompt.{unknown[0][:100]} is not known", f"prompt.{unknown[0][:100]}")
        name, version = given.get("id"), given.get("version")
        if not isinstance(name, str) or not name:
            raise bad_request("prompt.id is required, and has to be a string", "prompt.id")
        if not isinstance(version, (str, type(None))):
            raise bad_request("prompt.version has to be a string", "prompt.version")
        if self._library is None:
            raise ApiError(404, "there are no prompts", code="prompt_not_found", param="prompt.id")
        try:
            return name, *self._library.find(name, version)
        except LookupError as error:
            param = getattr(error, "param", "prompt.id")
            raise ApiError(404, str(error), code="prompt_not_found", param=param) from error
        except Unusable as error:
            message = f"{error}. Whoever runs this service has to mend it"
            raise ApiError(503, message, type_="server_error", code="prompt_unavailable", param="prompt.id") from error


def _rendered(
    name: str, version: str, template: "PromptTemplate", variables: Mapping[str, Any]
) -> list[dict[str, Any]]:
    from aiapp_service.prompts.template import NotRendered  # noqa: PLC0415  # loaded already

    try:
        return template.render(variables)
    except NotRendered as error:
        message = f"prompt {name} version {version}: {error}"
        raise bad_request(message, "prompt.variables", "prompt_not_rendered") from error


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
