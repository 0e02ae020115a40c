"""The service as a program of its own: no configuration, no cluster, no database."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aiapp_service.config import dump, mock_config
from tests.cluster.paths import REPOSITORY
from tests.integration.servers.processes import free_port
from tests.stack.wait import wait_until

_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DRIVERS = (
    "psycopg",
    "redis",
    "bullmq",
    "openai",
    "sqlalchemy",
    "alembic",
    "jwt",
    "cryptography",
    "kopf",
    "aiapp_operator",
)
DRIVERS += ("re2", "jinja2", "jsonschema", "phonenumbers", "stdnum")


@contextmanager
def alone(folder: Path, *arguments: str, **env: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()
    command = [sys.executable, "-m", "aiapp_service", "api", "--port", str(port), *arguments]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, env={**os.environ, **env}) as process,
    ):
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until("the service answers", lambda: get(f"{url}/livez"), seconds=20)
            yield url, process
        finally:
            if process.poll() is None:
                process.kill()


def get(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return None


def test_the_readmes_python_gets_an_answer(tmp_path):
    code = _PYTHON.findall((REPOSITORY / "README.md").read_text(encoding="utf-8"))[0]
    with alone(tmp_path) as (url, _):
        script = code.replace("http://127.0.0.1:8080", url)
        assert script != code
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "Hello"


def test_health_and_stop(tmp_path):
    with alone(tmp_path) as (url, process):
        document = json.loads(get(f"{url}/health") or "{}")
        assert document["status"] == "healthy"
        assert document["checks"]["llm"]["status"] == "ok"
        assert document["timestamp"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_mock_can_be_forced(tmp_path):
    closed = tmp_path / "config.yaml"
    closed.write_text("")
    with alone(tmp_path, "--config", str(closed), LLM_PROVIDER="mock") as (url, _):
        assert "chat" in (get(f"{url}/v1/models") or "")
    with alone(tmp_path, "--config", str(closed)) as (url, _):
        assert get(f"{url}/v1/models") is None, "401"


def test_nothing_is_loaded_that_is_not_needed():
    """That is why it answers at once."""
    code = (
        "import sys, aiapp_service.http.api, aiapp_service.__main__;"
        f"print([name for name in {DRIVERS!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_healthcheck_of_the_image(tmp_path):
    command = [sys.executable, "-m", "aiapp_service", "healthcheck", "--port"]
    with alone(tmp_path) as (url, _):
        port = url.rpartition(":")[2]
        assert subprocess.run([*command, port], check=False).returncode == 0
    done = subprocess.run([*command, str(free_port())], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "nothing answers" in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("guardrails: [{name: g, kind: Pattern, patterns: ['(']}]", "guardrail g: pattern '('"),
        ("models: [{name: m}]", "models.0.backends"),
        ("auth: {anonymos: true}", "auth.anonymos"),
        ("a: [", "while parsing"),
        ("models: [{name: m, backends: [{provider: nobody, model: x}]}]", "no provider is named nobody"),
    ],
)
def test_wrong_file_is_named_with_the_field(tmp_path, content, words):
    file = tmp_path / "config.yaml"
    file.write_text(content)
    done = subprocess.run(
        [sys.executable, "-m", "aiapp_service", "api", "--config", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert str(file) in done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_port_that_is_taken(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(dump(mock_config()))
    with alone(tmp_path) as (url, _):
        port = url.rpartition(":")[2]
        command = [sys.executable, "-m", "aiapp_service", "api", "--config", str(file), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
