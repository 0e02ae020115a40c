"""A request with the tool `file_search` -> one with a function of that name, which any model can call."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiapp_service.http.errors import bad_request
from aiapp_service.retrieval.ranking import wanted
from aiapp_service.retrieval.service import Wanted

NAME = "file_search"
RESULTS = 20
MOST_STORES = 10
MOST_QUERIES = 5
_MOST_QUERY = 2000
_FUNCTION = {
    "type": "function",
    "function": {
        "name": NAME,
        "description": (
            "Searches the user's files, by meaning and by words. Use it whenever the answer may stand in them."
        ),
        "parameters": {
            "type": "object",
            "properties": {
                "queries": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "What to look for, each in words of its own.",
                }
            },
            "required": ["queries"],
            "additionalProperties": False,
        },
    },
}


@dataclass(frozen=True)
class Tool:
    """What the client asked for: which vector stores are searched, and how."""

    stores: tuple[str, ...]
    wanted: Wanted

    @classmethod
    def of(cls, tools: Sequence[Any]) -> "Tool":
        """The only tool of its kind among `tools`.

        Raises:
            ApiError: it is wrong; names the field.
        """
        found = [(n, tool) for n, tool in enumerate(tools) if is_search(tool)]
        number, given = found[0]
        if len(found) > 1:
            message = f"tools[{found[1][0]}]: file_search is given once; list all vector_store_ids in it"
            raise bad_request(message, f"tools[{found[1][0]}]")
        if any(_name(tool) == NAME for tool in tools):
            raise bad_request("tools: a function may not be named file_search beside the tool of that name", "tools")
        place = f"tools[{number}]."
        ids = given.get("vector_store_ids")
        if not isinstance(ids, list) or not 1 <= len(ids) <= MOST_STORES or not all(isinstance(i, str) for i in ids):
            field = f"{place}vector_store_ids"
            raise bad_request(f"{field} is required, and has to be a list of 1 to {MOST_STORES} ids", field)
        return cls(tuple(dict.fromkeys(ids)), wanted(given, place, RESULTS))


def is_search(tool: Any) -> bool:
    """Whether this is the tool."""
    return isinstance(tool, dict) and tool.get("type") == NAME


def first_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request as the model gets it first."""
    choice = body.get("tool_choice")
    changed = {**body, "tools": [_FUNCTION if is_search(tool) else tool for tool in body["tools"]]}
    if is_search(choice):
        changed["tool_choice"] = {"type": "function", "function": {"name": NAME}}
    return changed


def next_body(body: Mapping[str, Any], said: Sequence[Mapping[str, Any]], *, last: bool) -> dict[str, Any]:
    """The request with what was said since; with `last` the model can search no more."""
    changed = {**body, "messages": [*body["messages"], *said]}
    if "tool_choice" in changed:
        # What was demanded has been done.
        changed["tool_choice"] = "auto"
    if last:
        tools = [tool for tool in body["tools"] if _name(tool) != NAME]
        changed["tools"] = tools
        if not tools:
            # Backends refuse an empty list, and options of tools that are not there.
            changed = {k: v for k, v in changed.items() if k not in ("tools", "tool_choice", "parallel_tool_calls")}
    return changed


def queries_of(arguments: str) -> list[str]:
    """What a call of the function looks for; empty where the model has not said it in a way that is understood."""
    try:
        given = json.loads(arguments)
    except ValueError:
        return []
    found = given.get("queries", given.get("query")) if isinstance(given, dict) else None
    listed = [found] if isinstance(found, str) else found
    if not isinstance(listed, list):
        return []
    texts = [text.replace("\x00", "").strip()[:_MOST_QUERY] for text in listed if isinstance(text, str)]
    return [text for text in texts if text][:MOST_QUERIES]


def _name(tool: Any) -> object:
    function = tool.get("function") if isinstance(tool, dict) else None
    return function.get("name") if isinstance(function, dict) else None
