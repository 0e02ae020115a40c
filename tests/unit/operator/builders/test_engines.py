"""What each engine knows of itself: its metrics, its time to load, how it stops, the flags that are not the user's."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import yaml

from aiapp_operator.api.engine_flags import OWNED
from aiapp_operator.api.inference import Engine
from aiapp_operator.build import inference
from aiapp_operator.build.inference import llamacpp, sglang, vllm
from aiapp_operator.build.inference.engine import load_seconds
from aiapp_operator.errors import Stalled
from tests.cluster.paths import REPOSITORY
from tests.unit.operator.examples import SETTINGS, make_app

METRICS = {"vLLM": vllm.METRICS, "SGLang": sglang.METRICS, "llamaCpp": llamacpp.METRICS}
IDLE = 'vllm:num_requests_running{engine="0",model_name="a b"} 0.0\nvllm:num_requests_waiting{engine="0"} 0.0\n'


def entry(engine, **fields):
    source = "file:///m" if engine != "custom" else None
    model = {"model": {"source": source}} if source else {"image": "own:1"}
    return make_app(inference=[{"name": "m", "engine": engine, **model, **fields}])


def pod(engine, **fields):
    app = entry(engine, **fields)
    return inference.deployment(app, SETTINGS, app.spec.inference[0])["spec"]["template"]["spec"]


def test_autoscalers_know_the_waiting_requests_of_each_engine_by_one_name():
    scrape = yaml.safe_load((REPOSITORY / "config" / "autoscaling" / "prometheus.yaml").read_text(encoding="utf-8"))
    (rename,) = scrape["scrape_configs"][0]["metric_relabel_configs"]
    for metrics in METRICS.values():
        assert re.fullmatch(rename["regex"], metrics.waiting)


@pytest.mark.parametrize(
    ("engine", "flag"), [("vLLM", "--max-model-len"), ("SGLang", "--context-length"), ("llamaCpp", "--ctx-size")]
)
def test_context_length_is_the_engines_own_flag(engine, flag):
    args = pod(engine, contextLength=4096)["containers"][0]["args"]
    assert args[args.index(flag) + 1] == "4096"
    assert flag not in pod(engine)["containers"][0]["args"]


@pytest.mark.parametrize(("engine", "flag"), [("vLLM", "--tensor-parallel-size"), ("SGLang", "--tp-size")])
def test_a_model_is_split_over_all_gpus_of_its_pod(engine, flag):
    args = pod(engine, gpu={"count": 8})["containers"][0]["args"]
    assert args[args.index(flag) + 1] == "8"
    assert flag not in pod(engine, gpu={"count": 1})["containers"][0]["args"]


@pytest.mark.parametrize("engine", OWNED)
def test_every_flag_that_the_operator_sets_is_refused_with_what_to_do_instead(engine):
    for flag, remedy in OWNED[engine].items():
        for given in ([flag, "1"], [f"{flag}=1"], ["--x", flag.replace("-", "_").replace("__", "--", 1)]):
            with pytest.raises(Stalled, match=re.escape(f"{flag} is set by the operator: {remedy}")):
                pod(engine, args=given)


@pytest.mark.parametrize("engine", OWNED)
def test_flags_that_a_builder_sets_are_owned(engine):
    fields = {"gpu": {"count": 2}, "contextLength": 512}
    adapters = [{"name": "a", "source": "file:///a"}] if engine == "vLLM" else []
    args = pod(engine, adapters=adapters, **fields)["containers"][0]["args"]
    # Those that a user may give again, and then decide.
    free = {"--metrics", "--enable-metrics", "--n-gpu-layers", "--max-loras"}
    assert {arg for arg in args if arg.startswith("-")} - free <= set(OWNED[engine])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 1800),
        ({"cache": {"size": "50Gi"}}, 1800),
        ({"cache": {"size": "200Gi"}}, 3600),
        ({"loadTimeout": "90m", "cache": {"size": "1Ti"}}, 5400),
    ],
)
def test_time_to_load_follows_the_size_of_the_volume(fields, expected):
    app = entry("vLLM", **fields)
    assert load_seconds(app.spec.inference[0]) == expected


def test_a_pod_has_time_to_finish_its_requests():
    spec = pod("vLLM", drainTimeout="10m")
    command = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert command[4:7] == ["8000", "/metrics", "600"]
    assert command[8:] == ["vllm:num_requests_running", "vllm:num_requests_waiting"]
    assert spec["terminationGracePeriodSeconds"] > 600
    assert "lifecycle" not in pod("custom")["containers"][0], "nothing is known of its requests"
    assert {e.value for e in Engine} == {*METRICS, "custom"}


@contextmanager
def telling(pages: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Metrics that change from look to look; the last page stays. Gives the URL and what was looked at."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            page = pages[min(len(told), len(pages) - 1)]
            told.append(page)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, told
    finally:
        server.shutdown()
        server.server_close()


def drain(port, seconds="30", path=os.environ["PATH"]):
    """The very command of a pod, against another port and without the lag before it."""
    command = pod("vLLM")["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    arguments = [*command[:4], str(port), command[5], seconds, "0", *command[8:]]
    return subprocess.run(arguments, check=True, timeout=60, env={"PATH": path})


def test_draining_waits_until_nothing_runs_and_nothing_waits():
    running = IDLE.replace('running{engine="0",model_name="a b"} 0.0', 'running{model_name="a b"} 2.0')
    waiting = IDLE.replace('waiting{engine="0"} 0.0', 'waiting{engine="0"} 1e+01')
    with telling([running, waiting, IDLE]) as (port, told):
        drain(port)
    assert told == [running, waiting, IDLE, IDLE], "idle twice: a request may be on its way"


@pytest.mark.parametrize("tool", ["curl", "wget", "python3", "bash"])
def test_draining_asks_by_what_the_image_has(tmp_path, tool):
    # What is called python3 here may be a script that looks for one.
    found = os.path.realpath(sys.executable) if tool == "python3" else shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not on this machine")
    for name, target in ((tool, found), ("sleep", shutil.which("sleep")), ("cat", shutil.which("cat"))):
        (tmp_path / name).symlink_to(target)
    with telling([IDLE.replace(" 0.0", " 1.0"), IDLE]) as (port, told):
        drain(port, path=str(tmp_path))
    assert len(told) == 3


def test_draining_has_a_bound():
    with telling([IDLE.replace(" 0.0", " 3.0")]) as (port, told):
        drain(port, seconds="3")
    assert len(told) == 3


def test_draining_ends_where_the_engine_is_gone():
    drain(9)


def test_metrics_that_are_not_known_count_as_busy():
    with telling(["something_else 0\n"]) as (port, told):
        drain(port, seconds="2")
    assert len(told) == 2
