"""Every child that the operator makes for the samples and for the inputs here, as committed files.

`python -m tests.golden` writes them; a test compares. `revisions.json` holds the revision of each pod
template: a change there restarts pods of everybody who upgrades the operator.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.build.pod import revision_of
from aiapp_operator.build.render import render
from aiapp_operator.config import Settings

HERE = Path(__file__).parent
INPUTS = HERE / "inputs"
EXPECTED = HERE / "expected"
REVISIONS = HERE / "revisions.json"
SAMPLES = HERE.parent.parent / "config" / "samples"
NAMESPACE = "golden"


class _Dumper(yaml.SafeDumper):
    """Scripts as blocks, so that people can read them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def apps() -> Iterator[tuple[str, AIApp]]:
    """Every AIApp of the inputs and the samples, by the name of its golden file."""
    for folder, prefix in ((INPUTS, ""), (SAMPLES, "sample-")):
        for path in sorted(folder.glob("*.yaml")):
            documents = [d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if d and d["kind"] == "AIApp"]
            for document in documents:
                document["metadata"].setdefault("namespace", NAMESPACE)
                suffix = f"-{document['metadata']['name']}" if len(documents) > 1 else ""
                yield f"{prefix}{path.stem}{suffix}", AIApp.model_validate(document)


def children(app: AIApp) -> list[Manifest]:
    """What a cluster would hold for `app`, with the operator's own defaults."""
    return render(app, Settings())


def text(manifests: list[Manifest]) -> str:
    """The content of a golden file."""
    return yaml.dump_all(manifests, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def revisions() -> dict[str, dict[str, str]]:
    """Revision of each pod template, by golden file and child."""
    return {
        name: {
            f"{child['kind']}/{child['metadata']['name']}": revision_of(child)
            for child in children(app)
            if revision_of(child)
        }
        for name, app in apps()
    }


def revisions_text() -> str:
    """The content of revisions.json."""
    return json.dumps(revisions(), indent=2) + "\n"


def write() -> None:
    """Write all golden files and remove those of inputs that are gone."""
    EXPECTED.mkdir(exist_ok=True)
    wanted = {f"{name}.yaml": text(children(app)) for name, app in apps()}
    for path in EXPECTED.glob("*.yaml"):
        if path.name not in wanted:
            path.unlink()
    for name, content in wanted.items():
        (EXPECTED / name).write_text(content, encoding="utf-8")
    REVISIONS.write_text(revisions_text(), encoding="utf-8")
