"""A request for a message -> one for a chat completion.

https://platform.claude.com/docs/en/api/messages/create
"""

import hashlib
import json
from typing import Any

from aiapp_service.http.anthropic.content import answer_of, text_of, user_messages
from aiapp_service.http.errors import bad_request

# Everything else is not Anthropic's, and passed on: `prompt` for one.
_THEIRS = frozenset(
    {
        "max_tokens",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "stop_sequences",
        "stream",
        "metadata",
        "output_config",
        # What follows has no counterpart: it changes how a model answers, or what it costs, but not what is asked.
        "thinking",
        "top_k",
        "cache_control",
        "context_management",
        "diagnostics",
        "inference_geo",
        "service_tier",
        "speed",
        "user_profile_id",
        "workspace_id",
    }
)
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_EFFORTS = {"max": "xhigh"}


def chat_request(body: dict[str, Any]) -> dict[str, Any]:
    """The body of the chat completion.

    Raises:
        ApiError: a field is wrong, or asks for what is not offered here; names it.
    """
    for name in ("container", "mcp_servers"):
        if body.get(name):
            raise bad_request(f"{name}: is not offered here", name)
    chat = {name: value for name, value in body.items() if name not in _THEIRS}
    chat["messages"] = chat_messages(body)
    chat["max_completion_tokens"] = _max_tokens(body.get("max_tokens"))
    chat.update(chat_tools(body))
    if body.get("stop_sequences"):
        chat["stop"] = body["stop_sequences"]
    if body.get("stream"):
        # The end of a message tells its usage.
        chat.update(stream=True, stream_options={"include_usage": True})
    if _wants_cache(body):
        chat["prompt_cache_key"] = _cache_key(body)
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("user_id"), str):
        chat["user"] = metadata["user_id"]
    return {**chat, **_output(body.get("output_config"))}


def _wants_cache(body: dict[str, Any]) -> bool:
    """Whether a mark for the prompt cache is anywhere in it; where exactly, a chat cannot say."""
    if body.get("cache_control"):
        return True
    lists = [body.get("system"), body.get("tools")]
    lists += [message.get("content") for message in body["messages"] if isinstance(message, dict)]
    blocks = [block for blocks in lists if isinstance(blocks, list) for block in blocks]
    return any(isinstance(block, dict) and block.get("cache_control") for block in blocks)


def _cache_key(body: dict[str, Any]) -> str:
    """The same for all requests that begin alike."""
    beginning = json.dumps([body.get("tools"), body.get("system"), body["messages"][:1]], sort_keys=True)
    return hashlib.sha256(beginning.encode()).hexdigest()[:32]


def wants_thoughts(body: dict[str, Any]) -> bool:
    """Whether the client wants to see what the model thought."""
    thinking = body.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")


def chat_messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages, with the system prompt in front.

    Raises:
        ApiError: one of them is wrong.
    """
    found = [{"role": "system", "content": text_of(body["system"], "system")}] if body.get("system") else []
    given = body.get("messages")
    if not isinstance(given, list) or not given:
        raise bad_request("messages: is required, and has to be a list with at least one message", "messages")
    for number, message in enumerate(given):
        where = f"messages.{number}"
        role = message.get("role") if isinstance(message, dict) else None
        if role == "user":
            found += user_messages(message.get("content"), f"{where}.content")
        elif role == "assistant":
            found.append(answer_of(message.get("content"), f"{where}.content"))
        elif role == "system":
            found.append({"role": "system", "content": text_of(message.get("content"), f"{where}.content")})
        else:
            raise bad_request(f"{where}.role: has to be user, assistant or system", f"{where}.role")
    return found


def chat_tools(body: dict[str, Any]) -> dict[str, Any]:
    """The fields about tools, as far as there are any.

    Raises:
        ApiError: a tool is one that Anthropic would run itself, or the choice is not known.
    """
    tools = body.get("tools")
    if not tools:
        return {}
    if not isinstance(tools, list):
        raise bad_request("tools: has to be a list", "tools")
    fields: dict[str, Any] = {"tools": [_tool(tool, f"tools.{number}") for number, tool in enumerate(tools)]}
    choice = body.get("tool_choice")
    if choice is None:
        return fields
    kind = choice.get("type") if isinstance(choice, dict) else None
    if isinstance(kind, str) and kind in _CHOICES:
        fields["tool_choice"] = _CHOICES[kind]
    elif kind == "tool" and isinstance(choice.get("name"), str):
        fields["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    else:
        raise bad_request("tool_choice: has to be of type auto, any, none, or tool with a name", "tool_choice")
    if choice.get("disable_parallel_tool_use"):
        fields["parallel_tool_calls"] = False
    return fields


def _tool(tool: Any, where: str) -> dict[str, Any]:
    if not isinstance(tool, dict) or tool.get("type", "custom") not in ("custom", None):
        raise bad_request(f"{where}.type: only tools of type custom are offered here", f"{where}.type")
    if not isinstance(tool.get("name"), str) or not isinstance(tool.get("input_schema"), dict):
        raise bad_request(f"{where}: has to have a name and an input_schema", where)
    described = {"description": tool["description"]} if tool.get("description") else {}
    strict = {"strict": True} if tool.get("strict") is True else {}
    function = {"name": tool["name"], **described, "parameters": tool["input_schema"], **strict}
    return {"type": "function", "function": function}


def _max_tokens(given: Any) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise bad_request("max_tokens: is required, and has to be a number of at least 1", "max_tokens")
    return given


def _output(config: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if not isinstance(config, dict):
        return fields
    effort, format_ = config.get("effort"), config.get("format")
    if isinstance(effort, str):
        fields["reasoning_effort"] = _EFFORTS.get(effort, effort)
    if isinstance(format_, dict):
        if format_.get("type") != "json_schema" or not isinstance(format_.get("schema"), dict):
            raise bad_request("output_config.format: has to be a json_schema with a schema", "output_config.format")
        schema = {"name": "answer", "schema": format_["schema"], "strict": True}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    return fields
