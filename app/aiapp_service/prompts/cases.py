"""The file of `aiapp-service prompt-test`: which requests are sent, and what must be true of the answers.

prompts:                       # besides those of the configuration; files are relative to this one
  - {name: support, version: "3", file: support.md}
tests:
  - name: greets
    prompt: support
    version: "3"               # default: the highest
    variables: {company: ACME}
    model: chat                # default: the prompt's, else the first for chat
    messages: [{role: user, content: Hello}]
    parameters: {temperature: 0}
    assert:
      contains: [ACME]         # or one text
      not_contains: sorry
      matches: "^Hello"        # RE2
      json_schema: {type: object}
      max_tokens: 200          # of the answer
      snapshot: true           # the answer is as it was when `--update` wrote it
"""

from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from aiapp_service.config import PromptConfig

_ONE_OR_MORE = Annotated[tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Expected(_Part):
    """What must be true of an answer."""

    contains: _ONE_OR_MORE = ()
    not_contains: _ONE_OR_MORE = ()
    matches: _ONE_OR_MORE = ()
    json_schema: dict[str, Any] | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    snapshot: bool = False


class Case(_Part):
    """One request. Its name is that of its snapshot too."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$")
    prompt: str
    version: str | None = None
    variables: dict[str, Any] = {}
    model: str | None = None
    messages: tuple[dict[str, Any], ...] = ()
    parameters: dict[str, Any] = {}
    expected: Expected = Field(alias="assert")

    @model_validator(mode="after")
    def _asserts_something(self) -> Self:
        if not self.expected.model_fields_set:
            raise ValueError("assert: names nothing that must be true")
        return self


class Cases(_Part):
    """The whole file."""

    prompts: tuple[PromptConfig, ...] = ()
    tests: tuple[Case, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [case.name for case in self.tests]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"tests: two of them are named {twice[0]}")
        return self


def read(path: Path) -> Cases:
    """The cases of a file.

    Raises:
        OSError: it cannot be read.
        pydantic.ValidationError: a field is wrong; the message names it.
        yaml.YAMLError: the file is not YAML.
    """
    cases = Cases.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    found = tuple(p.model_copy(update={"file": path.parent / p.file}) for p in cases.prompts)
    return cases.model_copy(update={"prompts": found})
