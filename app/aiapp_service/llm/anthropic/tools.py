"""Tools, and whether the model has to use them."""

from collections.abc import Mapping
from typing import Any

from aiapp_service.llm.translated import Untranslatable

_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
_NO_PARAMETERS = {"type": "object", "properties": {}}


def tools_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields `tools` and `tool_choice` of a request, as far as it has any.

    Raises:
        Untranslatable: a tool is no function, or a choice none that the API knows.
    """
    tools = body.get("tools")
    if not tools:
        return {}
    if not isinstance(tools, list):
        raise Untranslatable("tools has to be a list", "tools")
    fields: dict[str, Any] = {"tools": [_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools)]}
    choice = _choice(body.get("tool_choice"))
    if body.get("parallel_tool_calls") is False and choice.get("type") != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return {**fields, "tool_choice": choice} if choice else fields


def _tool(tool: Any, where: str) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Untranslatable(f"{where} has to be a function with a name: Anthropic offers no other kind", where)
    described = {"description": function["description"]} if function.get("description") else {}
    # `strict` is not passed on: the API is strict with far fewer schemas than OpenAI's, and refuses the rest.
    return {"name": function["name"], **described, "input_schema": function.get("parameters") or _NO_PARAMETERS}


def _choice(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if isinstance(given, str) and given in _CHOICES:
        return {"type": _CHOICES[given]}
    function = given.get("function") if isinstance(given, dict) else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        return {"type": "tool", "name": function["name"]}
    raise Untranslatable("tool_choice has to be auto, none, required or name a function", "tool_choice")
