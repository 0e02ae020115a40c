"""All prompts of a configuration: which versions there are, and which one a request means."""

import re
from collections.abc import Sequence
from typing import Any

from aiapp_service.config import PromptConfig, WrongConfig
from aiapp_service.files import WatchedFile, WatchedFiles
from aiapp_service.prompts.template import PromptTemplate, parse

_NUMBERS = re.compile(r"(\d+)")


class Unknown(LookupError):
    """There is no such prompt or version; the message names those there are. `param` is the field that is wrong."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


class Library:
    """Templates by name and version, each read again when its file changes.

    Raises:
        WrongConfig: a version is there twice.
    """

    def __init__(self, prompts: Sequence[PromptConfig], files: WatchedFiles) -> None:
        self._files: dict[str, dict[str, WatchedFile[PromptTemplate]]] = {}
        for prompt in prompts:
            versions = self._files.setdefault(prompt.name, {})
            if prompt.version in versions:
                raise WrongConfig(f"prompt {prompt.name}: version {prompt.version} is there twice")
            label = f"prompt {prompt.name} version {prompt.version}"
            versions[prompt.version] = files.open(label, prompt.file, parse)

    def find(self, name: str, version: str | None) -> tuple[str, PromptTemplate]:
        """The version and its template; without a version the highest one, 10 after 9.

        Raises:
            Unknown: there is none.
            Unusable: its file is missing or wrong.
        """
        versions = self._files.get(name)
        if versions is None:
            known = ", ".join(sorted(self._files)) or "none"
            raise Unknown(f"there is no prompt {name[:100]!r}; there are: {known}", "prompt.id")
        chosen = version if version is not None else max(versions, key=_natural)
        if chosen not in versions:
            known = ", ".join(sorted(versions, key=_natural))
            raise Unknown(f"prompt {name} has no version {chosen[:100]!r}; there are: {known}", "prompt.version")
        return chosen, versions[chosen].get()


def _natural(version: str) -> list[Any]:
    """Numbers within it count as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _NUMBERS.split(version)]
