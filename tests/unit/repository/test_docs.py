"""Examples in the documentation work, and its links lead somewhere."""

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from aiapp_operator.api.app import AIApp
from aiapp_operator.build.render import render
from aiapp_operator.cli import main
from aiapp_operator.config import Settings
from tests.cluster.paths import REPOSITORY

PAGES = sorted([REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *(REPOSITORY / "docs").rglob("*.md")])
SAMPLES = sorted((REPOSITORY / "config" / "samples").glob("*.yaml"))
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (page.name, content)
        for page in PAGES
        for kind, content in _BLOCK.findall(page.read_text(encoding="utf-8"))
        if kind == language
    ]


def test_the_readme_shows_the_newest_schema():
    newest = max(path.name for path in (REPOSITORY / "app/aiapp_service/db/migrations/versions").glob("0*.py"))[:4]
    assert set(re.findall(r"(?:at revision|Migrated:) +(\d{4})", (REPOSITORY / "README.md").read_text())) == {newest}


def apps() -> list[tuple[str, dict]]:
    documents = [(name, d) for name, content in blocks("yaml") for d in yaml.safe_load_all(content)]
    return [(name, d) for name, d in documents if isinstance(d, dict) and d.get("kind") == "AIApp"]


@pytest.mark.parametrize(("name", "app"), apps())
def test_aiapps_in_the_documentation_can_be_rendered(name, app):
    app["metadata"].setdefault("namespace", "default")
    assert render(AIApp.model_validate(app), Settings())


def test_there_are_aiapps_in_the_documentation():
    assert apps()


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_samples_are_rendered_by_the_command(path):
    done = CliRunner().invoke(main, ["render", "-f", str(path)])
    assert done.exit_code == 0, done.output
    kinds = [document["kind"] for document in yaml.safe_load_all(done.output)]
    assert "Deployment" in kinds


@pytest.mark.parametrize(("name", "code"), blocks("python"))
def test_python_in_the_documentation_compiles(name, code):
    compile(code, name, "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_make_targets_in_the_documentation_exist():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    named = {
        target
        for _, content in blocks("sh")
        for line in content.splitlines()
        if line.startswith("make ")
        for target in line.partition("#")[0].split()[1:]
    }
    for target in named - {t for t in named if t.startswith(("bench-", "test-"))}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
