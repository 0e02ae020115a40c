"""What answers while the app sleeps: the program itself, as SDKs and load balancers see it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import anthropic
import httpx2 as httpx
import openai
import pytest

from tests.integration.servers.processes import free_port
from tests.integration.service.test_alone import get
from tests.stack.wait import wait_until

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}


@contextmanager
def stand_in() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()
    command = [sys.executable, "-m", "aiapp_service", "sleeping", "--port", str(port), "--retry-after", "7"]
    with subprocess.Popen(command, env={**os.environ, "LOG_LEVEL": "WARNING"}) as process:
        try:
            wait_until("it answers", lambda: get(f"http://127.0.0.1:{port}/livez"), seconds=20)
            yield f"http://127.0.0.1:{port}", process
        finally:
            if process.poll() is None:
                process.kill()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with stand_in() as (address, _):
        yield address


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("DELETE", "/v1/files/file-1"), ("GET", "/")],
)
def test_whatever_is_asked_for_gets_503_and_when_to_come_again(url, method, path):
    answer = httpx.request(method, f"{url}{path}", json=CHAT)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "7"
    assert answer.headers["x-request-id"]
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("server_error", "app_sleeping")
    assert "sleeps" in error["message"]


def test_a_large_body_is_told_the_same(url):
    answer = httpx.post(f"{url}/v1/files", content=b"x" * 5_000_000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "app_sleeping")


def test_sdks_understand_it(url):
    with (
        openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
        pytest.raises(openai.InternalServerError) as refused,
    ):
        client.chat.completions.create(**CHAT)
    assert (refused.value.status_code, refused.value.code) == (503, "app_sleeping")
    with (
        anthropic.Anthropic(base_url=url, api_key="any", max_retries=0) as other,
        pytest.raises(anthropic.InternalServerError) as also_refused,
    ):
        other.messages.create(model="chat", max_tokens=5, messages=CHAT["messages"])
    assert also_refused.value.body["error"]["type"] == "api_error"
    assert "sleeps" in also_refused.value.body["error"]["message"]


def test_probes_are_of_the_stand_in_and_health_is_of_the_app(url):
    assert httpx.get(f"{url}/livez").status_code == 200
    assert httpx.get(f"{url}/readyz").status_code == 200
    health = httpx.get(f"{url}/health")
    assert health.status_code == 503
    assert health.json()["status"] == "unhealthy"


def test_it_stops_when_it_is_told_to():
    with stand_in() as (_, process):
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
