"""What no commit may hold."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.cluster.paths import REPOSITORY

# Spelt so that this file does not hold them.
_HOSTS = ("pypi" + r"\.org", "pythonhosted" + r"\.org", "proxy\\.golang" + r"\.org", "registry\\.npmjs" + r"\.org")
_PLACES = ("/ho" + "me/", "/ro" + "ot/", "/wo" + "rk/")
_TEXTS_WITHOUT_NAMES = {"LICENSE"}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True, text=True)
    return [REPOSITORY / name for name in listed.stdout.split("\0") if name and (REPOSITORY / name).is_file()]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_operator_folder_is_no_package():
    """It would shadow the standard library's `operator`."""
    assert not (REPOSITORY / "operator" / "__init__.py").exists()


def test_every_file_is_text():
    for path in tracked():
        assert b"\0" not in path.read_bytes(), f"{path} is binary"


@pytest.mark.parametrize("host", _HOSTS)
def test_no_package_registry_is_named(host):
    found = [path for path in tracked() if re.search(host, text_of(path))]
    assert found == []


@pytest.mark.parametrize("place", _PLACES)
def test_no_path_of_a_machine_is_named(place):
    found = [path for path in tracked() if path.name not in _TEXTS_WITHOUT_NAMES and place in text_of(path)]
    assert found == []


def test_requirements_are_pinned_with_hashes():
    for path in (REPOSITORY / "requirements").glob("*.txt"):
        lines = [line for line in text_of(path).splitlines() if line and not line.startswith((" ", "#"))]
        assert lines, path
        for line in lines:
            assert "==" in line, f"{path}: {line}"
            assert line.rstrip().endswith("\\"), f"{path}: {line} has no hash"


def test_locks_of_npm_name_no_registry():
    """`npm ci` asks whichever one is configured: npm install --omit-lockfile-registry-resolved."""
    locks = [path for path in tracked() if path.name == "package-lock.json"]
    assert locks
    assert [path for path in locks if '"resolved"' in text_of(path)] == []


def test_files_hold_one_concept():
    """A file near 400 lines wants to be split."""
    long = {p.name: len(text_of(p).splitlines()) for p in tracked() if p.suffix == ".py"}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}
