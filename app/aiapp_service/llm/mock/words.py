"""What the mock says to a chat: words, or calls of tools."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from aiapp_service.llm.mock.instances import instance_of
from aiapp_service.llm.mock.orders import Orders
from aiapp_service.llm.translated import dicts

_GREETING = "Hello from the mock provider."
_TOKEN = re.compile(r"\s*\S+|\s+$")
_MOST_CHOICES = 128


@dataclass(frozen=True)
class Call:
    """A function, and its arguments as the tokens of a JSON text."""

    id: str
    name: str
    arguments: Sequence[str]


@dataclass(frozen=True)
class Said:
    """One choice."""

    tokens: Sequence[str]
    calls: Sequence[Call]
    finish: str

    @property
    def count(self) -> int:
        """All tokens; the name of a function is one as well."""
        return len(self.tokens) + sum(1 + len(call.arguments) for call in self.calls)


def choices_of(body: Mapping[str, Any], orders: Orders) -> list[Said]:
    """One for each of `n`."""
    wanted = body.get("n")
    count = min(wanted, _MOST_CHOICES) if isinstance(wanted, int) and wanted > 0 else 1
    if calls := _calls(body, orders):
        return [Said((), calls, orders.finish_reason or "tool_calls")] * count
    return [_spoken(body, orders, number) for number in range(count)]


def last_user_text(body: Mapping[str, Any]) -> str:
    """What the user has said last."""
    said = [message for message in dicts(body.get("messages")) if message.get("role") == "user"]
    return text_of(said[-1].get("content")) if said else ""


def text_of(content: Any) -> str:
    """The texts of a message's content."""
    if isinstance(content, str):
        return content
    return " ".join(str(part["text"]) for part in dicts(content) if "text" in part)


def _spoken(body: Mapping[str, Any], orders: Orders, number: int) -> Said:
    text = _text(body, orders, number)
    given = body.get("stop")
    for stop in given if isinstance(given, list) else [given]:
        text = text.partition(stop)[0] if isinstance(stop, str) and stop else text
    tokens, finish = _TOKEN.findall(text), "stop"
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if isinstance(limit, int) and 0 < limit < len(tokens):
        tokens, finish = tokens[:limit], "length"
    return Said(tokens, (), orders.finish_reason or finish)


def _text(body: Mapping[str, Any], orders: Orders, number: int) -> str:
    words = last_user_text(body).split() or _GREETING.split()
    shift = number % len(words)
    words = words[shift:] + words[:shift]
    if orders.tokens is not None:
        words = list(islice(cycle(words), orders.tokens))
    text = " ".join(words)
    format_ = body.get("response_format")
    kind = format_.get("type") if isinstance(format_, dict) else None
    if kind == "json_object":
        return json.dumps({"text": text}, ensure_ascii=False)
    if isinstance(format_, dict) and kind == "json_schema":
        wanted = format_.get("json_schema")
        return json.dumps(instance_of(wanted.get("schema") if isinstance(wanted, dict) else {}), ensure_ascii=False)
    return text


def _calls(body: Mapping[str, Any], orders: Orders) -> list[Call]:
    messages = list(dicts(body.get("messages")))
    answered = bool(messages) and messages[-1].get("role") == "tool"
    wanted = () if answered else orders.calls
    wanted = wanted or _chosen(body)
    calls: list[Call] = []
    for number, (name, given) in enumerate(wanted):
        arguments = json.dumps(given, ensure_ascii=False)
        told = f"{len(messages)} {last_user_text(body)} {number} {name} {arguments}"
        digest = hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:24]
        calls.append(Call(f"call_{digest}", name, _TOKEN.findall(arguments)))
    return calls


def _chosen(body: Mapping[str, Any]) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """The function that `tool_choice` names, or the first one where it only wants any."""
    choice = body.get("tool_choice")
    functions = [tool["function"] for tool in dicts(body.get("tools")) if isinstance(tool.get("function"), dict)]
    if isinstance(choice, dict):
        named = choice.get("function")
        name = named.get("name") if isinstance(named, dict) else None
        functions = [function for function in functions if function.get("name") == name]
    elif choice != "required":
        return ()
    if not functions or not isinstance(functions[0].get("name"), str):
        return ()
    arguments = instance_of(functions[0].get("parameters") or {})
    return ((functions[0]["name"], arguments if isinstance(arguments, dict) else {}),)
