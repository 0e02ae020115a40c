"""One template: a text for the system, or a few messages, in Jinja's language.

A file is the text of the system message:

    You answer for {{ company }}, in {{ language | default("English") }}.

It may begin with a head in YAML, between lines of three dashes, with default parameters of the request, and with
messages that come after the system's:

    ---
    parameters: {temperature: 0.2, model: chat}
    messages:
      - {role: user, content: "Who are you?"}
      - {role: assistant, content: "I am the assistant of {{ company }}."}
    ---
    You answer for {{ company }}.

Values of variables are data: braces in them mean nothing. Python's attributes and methods cannot be reached.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml
from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from pydantic import BaseModel, ConfigDict, ValidationError

# Characters of all messages together.
MOST_RENDERED = 1024 * 1024
_HEAD = re.compile(r"---[ \t]*\r?\n(.*?)(?:^---[ \t]*(?:\r?\n|\Z)|\Z)", re.DOTALL | re.MULTILINE)
# They can make much of little.
_WITHOUT = ("center", "format", "indent", "wordwrap", "pprint", "filesizeformat", "urlize", "xmlattr", "random")


class NotRendered(ValueError):
    """A template and the variables given for it do not fit; the message says which variable."""


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**"})

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Nothing but what belongs to the language: `loop.index`, `namespace`."""
        return isinstance(obj, (LoopContext, Namespace)) and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Numbers are multiplied, texts and lists are not."""
        if operator == "**" or not all(isinstance(side, (int, float)) for side in (left, right)):
            raise SecurityError(f"{operator} is for numbers, and only *")
        return super().call_binop(context, operator, left, right)


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")
    role: Literal["system", "developer", "user", "assistant"]
    content: str


class _Head(BaseModel):
    model_config = ConfigDict(extra="forbid")
    parameters: dict[str, Any] = {}
    messages: tuple[_Message, ...] = ()


@dataclass(frozen=True)
class PromptTemplate:
    """Messages to render; `parameters` are for requests that do not give them, `variables` all names that are used."""

    parameters: Mapping[str, Any]
    variables: frozenset[str]
    _messages: Sequence[tuple[str, Template]]

    def render(self, variables: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The messages.

        Raises:
            NotRendered: a variable is missing, unknown, or of no use for what is done with it; the text is too long.
        """
        unknown = sorted(set(variables) - self.variables)
        if unknown:
            known = ", ".join(sorted(self.variables)) or "none"
            raise NotRendered(f"there is no variable {unknown[0][:100]!r}; there are: {known}")
        left = MOST_RENDERED
        messages = []
        for role, template in self._messages:
            content = _render(template, variables, left)
            left -= len(content)
            messages.append({"role": role, "content": content})
        return messages


def parse(text: str) -> PromptTemplate:
    """The template that a file holds.

    Raises:
        ValueError: it is none; says where and why.
    """
    head, text = _split(text)
    environment = _sandbox()
    given = [("system", text)] if text.strip() else []
    given += [(message.role, message.content) for message in head.messages]
    if not given:
        raise ValueError("there is neither a text nor a message in it")
    if reserved := sorted({"messages", "prompt", "stream"} & head.parameters.keys()):
        raise ValueError(f"parameters.{reserved[0]}: belongs to the request")
    variables: set[str] = set()
    messages = []
    for role, content in given:
        try:
            tree = environment.parse(content)
            if next(tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)), None):
                raise ValueError("a template cannot take in others")
            variables |= meta.find_undeclared_variables(tree)
            messages.append((role, environment.from_string(content)))
        except TemplateSyntaxError as error:
            raise ValueError(f"message of role {role}, line {error.lineno}: {error.message}") from error
        except TemplateError as error:
            raise ValueError(f"message of role {role}: {error}") from error
    return PromptTemplate(head.parameters, frozenset(variables - environment.globals.keys()), messages)


def _split(text: str) -> tuple[_Head, str]:
    found = _HEAD.match(text)
    if found is None:
        return _Head(), text
    try:
        return _Head.model_validate(yaml.safe_load(found[1]) or {}), text[found.end() :]
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(str(part) for part in first['loc']) or 'head'}: {first['msg']}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"head: {error}") from error


def _sandbox() -> _Sandbox:
    environment = _Sandbox(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)
    for name in _WITHOUT:
        environment.filters.pop(name, None)
    # Globals are variables that nobody has given.
    environment.globals = {"range": environment.globals["range"], "namespace": Namespace}
    return environment


def _render(template: Template, variables: Mapping[str, Any], most: int) -> str:
    pieces, size = [], 0
    try:
        for piece in template.generate(variables):
            size += len(piece)
            if size > most:
                raise NotRendered(f"it becomes longer than {MOST_RENDERED} characters")
            pieces.append(piece)
    except UndefinedError as error:
        raise NotRendered(f"{error.message}: give it in prompt.variables") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        if isinstance(error, NotRendered):
            raise
        raise NotRendered(f"its variables do not fit: {type(error).__name__}") from error
    return "".join(pieces)
