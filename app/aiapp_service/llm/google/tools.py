"""Functions, and whether the model has to call them."""

from collections.abc import Mapping
from typing import Any

from aiapp_service.llm.google.schema import accepted
from aiapp_service.llm.translated import Untranslatable, dicts

_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
# Of OpenAI's `allowed_tools`: with AUTO the API would not look at the names.
_ALLOWED_MODES = {"auto": "VALIDATED", "required": "ANY"}


def tools_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields `tools` and `toolConfig` of a request, as far as it has any.

    Raises:
        Untranslatable: a tool is no function, or a choice none that the API knows.
    """
    tools = body.get("tools")
    if not tools:
        return {}
    if not isinstance(tools, list):
        raise Untranslatable("tools has to be a list", "tools")
    declared = [_declaration(tool, f"tools[{number}]") for number, tool in enumerate(tools)]
    fields: dict[str, Any] = {"tools": [{"functionDeclarations": declared}]}
    choice = _choice(body.get("tool_choice"))
    return {**fields, "toolConfig": {"functionCallingConfig": choice}} if choice else fields


def _declaration(tool: Any, where: str) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Untranslatable(f"{where} has to be a function with a name: Google offers no other kind here", where)
    declaration: dict[str, Any] = {"name": function["name"], "description": function.get("description") or ""}
    parameters = function.get("parameters")
    # An object without properties is refused; no parameters say the same.
    if isinstance(parameters, dict) and (parameters.keys() - {"type", "additionalProperties"}):
        schema = accepted(parameters)
        if schema.get("properties") or schema.keys() & {"$ref", "anyOf", "oneOf"}:
            declaration["parametersJsonSchema"] = schema
    return declaration


def _choice(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if isinstance(given, str) and given in _MODES:
        return {"mode": _MODES[given]}
    if isinstance(given, dict):
        if name := _name(given):
            return {"mode": "ANY", "allowedFunctionNames": [name]}
        allowed = given.get("allowed_tools")
        mode = allowed.get("mode") if isinstance(allowed, dict) else None
        if isinstance(allowed, dict) and isinstance(mode, str) and mode in _ALLOWED_MODES:
            names = [name for tool in dicts(allowed.get("tools")) if (name := _name(tool))]
            return {"mode": _ALLOWED_MODES[mode], "allowedFunctionNames": names}
    raise Untranslatable("tool_choice has to be auto, none, required, or name functions", "tool_choice")


def _name(tool: Mapping[str, Any]) -> str | None:
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None
