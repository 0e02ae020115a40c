"""Answers against what is expected of them: each check gives what is wrong, or nothing."""

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jsonschema

from aiapp_service.guardrails.rules import compiled
from aiapp_service.prompts.cases import Expected


@dataclass(frozen=True)
class Answered:
    """What a model said, and how many tokens that was; None: the backend does not tell."""

    text: str
    tokens: int | None


@dataclass(frozen=True)
class Snapshots:
    """Answers of an earlier run, in a folder beside the file of cases. With `update` they become those of this run."""

    folder: Path
    update: bool

    @classmethod
    def beside(cls, file: Path, *, update: bool) -> "Snapshots":
        """Those of the cases in `file`."""
        return cls(file.with_name(f"{file.stem}.snapshots"), update)

    def check(self, name: str, text: str) -> Iterator[str]:
        """What differs from before."""
        path = self.folder / f"{name}.txt"
        if self.update:
            self.folder.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists():
            yield f"snapshot: {path} is not there; --update writes it"
        elif (before := path.read_text(encoding="utf-8")) != text:
            lines = difflib.unified_diff(before.splitlines(), text.splitlines(), "before", "now", lineterm="")
            yield "\n".join(["snapshot: the answer has changed; --update takes it", *lines])


def check(name: str, expected: Expected, answer: Answered, snapshots: Snapshots) -> Iterator[str]:
    """Everything that is wrong with an answer.

    Raises:
        ValueError: an expression of `matches` is none.
    """
    text = answer.text
    for wanted in expected.contains:
        if wanted not in text:
            yield f"contains: {wanted!r} is not in the answer"
    for unwanted in expected.not_contains:
        if unwanted in text:
            yield f"not_contains: {unwanted!r} is in the answer"
    for expression in expected.matches:
        if compiled(expression).search(text) is None:
            yield f"matches: {expression!r} does not match"
    if expected.json_schema is not None:
        yield from _fits(text, expected.json_schema)
    if expected.max_tokens is not None and answer.tokens is None:
        yield "max_tokens: the backend does not say how many there were"
    elif expected.max_tokens is not None and (answer.tokens or 0) > expected.max_tokens:
        yield f"max_tokens: {answer.tokens} are more than {expected.max_tokens}"
    if expected.snapshot:
        yield from snapshots.check(name, text)


def _fits(text: str, schema: dict[str, object]) -> Iterator[str]:
    try:
        document = json.loads(text)
    except ValueError as error:
        yield f"json_schema: the answer is not JSON: {error}"
        return
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    for fault in kind(schema).iter_errors(document):
        yield f"json_schema: {fault.json_path}: {fault.message}"
