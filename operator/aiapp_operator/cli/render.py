"""AIApps in, children out."""

import os
from typing import Any

import yaml
from pydantic import ValidationError

from aiapp_operator.api.app import GROUP, KIND, AIApp
from aiapp_operator.api.crd import crd
from aiapp_operator.build.render import render
from aiapp_operator.config import Settings
from aiapp_operator.errors import Stalled

_HEADER = "# Generated from the types of aiapp_operator.api: run `make generate`.\n"


class Unusable(Exception):
    """Input that holds no AIApp that could be rendered; the message names file, object, field and remedy."""


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, so that people can read the scripts in them."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def crd_text() -> str:
    """The CustomResourceDefinition as it is committed."""
    return _HEADER + yaml.safe_dump(crd(), sort_keys=False, width=110, allow_unicode=True)


def rendered(text: str, source: str, namespace: str) -> str:
    """The children of every AIApp in `text` as a YAML stream.

    Raises:
        Unusable: there is no AIApp, or one that is wrong.
    """
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise Unusable(f"{source}: not valid YAML: {error}") from error
    apps = [document for document in documents if isinstance(document, dict) and document.get("kind") == KIND]
    if not apps:
        raise Unusable(f"{source}: holds no AIApp (apiVersion {GROUP}/v1alpha1, kind {KIND})")
    settings = Settings.from_env(os.environ)
    return "".join(_children(document, source, namespace, settings) for document in apps)


def _children(document: dict[str, Any], source: str, namespace: str, settings: Settings) -> str:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("name"):
        raise Unusable(f"{source}: metadata.name is missing")
    named = {**document, "metadata": {"namespace": namespace, **metadata}}
    where = f"{source}: AIApp {metadata['name']}"
    try:
        children = render(AIApp.model_validate(named), settings)
    except ValidationError as error:
        lines = (f"{where}: {_path(e['loc'])}: {e['msg']}" for e in error.errors(include_url=False))
        raise Unusable("\n".join(lines)) from error
    except Stalled as error:
        raise Unusable(f"{where}: {error}") from error
    return yaml.dump_all(children, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True, explicit_start=True)


def _path(location: tuple[int | str, ...]) -> str:
    """`spec.workers[0].name`, as the API server writes it."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "(the object)"
