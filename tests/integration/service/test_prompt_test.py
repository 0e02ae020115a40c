"""`aiapp-service prompt-test` as a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from aiapp_service.config import mock_config
from aiapp_service.prompts import trial

PROMPT = "---\nmessages: [{role: user, content: 'Hello from {{ company }}'}]\n---\nYou answer for {{ company }}.\n"
CASE = {"name": "greets", "prompt": "support", "variables": {"company": "ACME"}}


def cases(folder: Path, *tests: dict[str, object], **fields: object) -> Path:
    (folder / "support.md").write_text(PROMPT)
    prompts = [{"name": "support", "version": "1", "file": "support.md"}]
    path = folder / "support.yaml"
    path.write_text(yaml.safe_dump({"prompts": prompts, "tests": list(tests), **fields}))
    return path


def run(path: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aiapp_service", "prompt-test", str(path), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **env},
    )


def test_assertions_that_hold_and_that_do_not(tmp_path):
    holding = {
        "contains": ["ACME", "Hello"],
        "not_contains": "sorry",
        "matches": "^Hello",
        "max_tokens": 3,
    }
    failing = {
        "contains": "EMCA",
        "not_contains": "ACME",
        "matches": "^ACME",
        "json_schema": {"type": "object"},
        "max_tokens": 2,
    }
    json_case = {**CASE, "name": "json", "messages": [{"role": "user", "content": '{"a":1}'}]}
    schema = {"type": "object", "required": ["b"]}
    path = cases(
        tmp_path,
        {**CASE, "assert": holding},
        {**CASE, "name": "fails", "assert": failing},
        {**json_case, "assert": {"json_schema": schema}},
    )
    done = run(path, LLM_PROVIDER="mock")
    assert done.returncode == 1
    assert done.stderr == ""
    for words in (
        "ok   greets",
        "FAIL fails",
        "contains: 'EMCA' is not",
        "not_contains: 'ACME' is",
        "matches: '^ACME' does not",
        "json_schema: the answer is not JSON",
        "max_tokens: 3 are more than 2",
        "FAIL json",
        "json_schema: $: 'b' is a required property",
        "1 passed, 2 failed",
    ):
        assert words in done.stdout


async def test_snapshots(tmp_path, capsys):
    path = cases(tmp_path, {**CASE, "assert": {"snapshot": True}})
    snapshot = tmp_path / "support.snapshots" / "greets.txt"
    assert await trial.run(mock_config(), path, mock=True, update=False) == 1
    assert "--update writes it" in capsys.readouterr().out
    assert not snapshot.exists()
    assert run(path, "--update", LLM_PROVIDER="mock").returncode == 0
    assert snapshot.read_text() == "Hello from ACME"
    assert await trial.run(mock_config(), path, mock=True, update=False) == 0
    (tmp_path / "support.md").write_text(PROMPT.replace("Hello", "Greetings"))
    assert await trial.run(mock_config(), path, mock=True, update=False) == 1
    said = capsys.readouterr().out
    assert "-Hello from ACME" in said
    assert "+Greetings from ACME" in said


def test_configuration_with_its_guardrails_and_another_provider(tmp_path):
    """With LLM_PROVIDER=mock nothing of the configuration's own backends, databases or keys is needed."""
    config = {
        "providers": [{"name": "real", "kind": "OpenAI", "apiKeyFile": "/nowhere"}],
        "models": [{"name": "main", "backends": [{"provider": "real", "model": "gpt"}]}],
        "guardrails": [{"name": "no-acme", "kind": "Topics", "topics": ["acme"], "stages": ["Input"]}],
        "database": {"urlFile": "/nowhere"},
        "redis": {"urlFile": "/nowhere"},
        "budgets": [{"name": "none", "limitUSD": "0"}],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    other = {**CASE, "name": "other", "variables": {"company": "EMCA"}, "assert": {"contains": "EMCA"}}
    path = cases(tmp_path, other, {**CASE, "assert": {"contains": "ACME"}})
    done = run(path, "--config", str(tmp_path / "config.yaml"), LLM_PROVIDER="mock")
    assert done.returncode == 1
    assert "ok   other" in done.stdout
    assert "blocked by guardrail no-acme" in done.stdout


async def test_without_a_prompt_of_that_name(tmp_path, capsys):
    path = cases(tmp_path, {**CASE, "prompt": "suport", "assert": {"contains": "x"}})
    assert await trial.run(mock_config(), path, mock=True, update=False) == 1
    assert "no prompt 'suport'; there are: support" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        ([], "tests: "),
        ([{**CASE, "asert": {}}], "tests.0.assert: Field required"),
        ([{**CASE, "assert": {"contain": "x"}}], "tests.0.assert.contain"),
        ([{**CASE, "assert": {}}], "tests.0: Value error, assert: names nothing"),
        ([{**CASE, "assert": {"matches": "("}}], "tests.0.assert.matches"),
        ([{**CASE, "assert": {"json_schema": {"type": 1}}}], "tests.0.assert.json_schema"),
        ([{**CASE, "name": "../x", "assert": {"contains": "x"}}], "tests.0.name"),
        ([{**CASE, "assert": {"contains": "x"}}] * 2, "two of them are named greets"),
    ],
)
async def test_wrong_file_is_named_with_the_field(tmp_path, capsys, tests, words):
    path = cases(tmp_path, *tests)
    assert await trial.run(mock_config(), path, mock=True, update=False) == 2
    said = capsys.readouterr().err
    assert str(path) in said
    assert words in said


def test_file_that_is_not_there(tmp_path):
    done = run(tmp_path / "nowhere.yaml", LLM_PROVIDER="mock")
    assert done.returncode == 2
    assert "nowhere.yaml" in done.stderr
