"""Run the demo; each step can be run again and goes on where things stand."""

import sys
import time
from pathlib import Path

from rich.console import Console

from tests.demo.conditions_table import watch_until_ready
from tests.stack.aiapp import AppHandle
from tests.stack.client import port_forward, sdk
from tests.stack.install import Platform, install
from tests.stack.kube import load_manifests
from tests.stack.sample import API_KEY, KEYS_SECRET, with_local_model

CLUSTER = "demo"
NAMESPACE = "demo"
SAMPLE = Path("config/samples/assistant.yaml")
READY_SECONDS = 600
PROMPT = "Q: Name three colours.\nA: red, green, blue\nQ: Name three animals.\nA:"


def main() -> int:
    """Bring everything up, ask one question, say how to go on."""
    console = Console(highlight=False)
    started = time.monotonic()
    platform = install(CLUSTER, console)
    app = _apply_sample(platform, console)
    console.rule(f"Waiting for aiapp/{app.name} to become Ready")
    took = watch_until_ready(app, console, seconds=READY_SECONDS)
    console.print(f"Ready after {took:.0f} s")
    console.print(platform.kube.kubectl("-n", NAMESPACE, "get", "aiapp", app.name), markup=False)
    _ask(platform, app, console)
    _say_how_to_go_on(platform, app, console, time.monotonic() - started)
    return 0


def _apply_sample(platform: Platform, console: Console) -> AppHandle:
    console.rule(f"Applying {SAMPLE}")
    platform.kube.namespace(NAMESPACE)
    platform.kube.secret(KEYS_SECRET, NAMESPACE, {"demo": API_KEY})
    manifest = with_local_model(load_manifests(SAMPLE)[0], platform.model_image)
    manifest["metadata"]["namespace"] = NAMESPACE
    platform.kube.apply(manifest)
    return AppHandle(platform.kube, NAMESPACE, manifest["metadata"]["name"])


def _ask(platform: Platform, app: AppHandle, console: Console) -> None:
    console.rule("A chat completion, streamed through the AIApp's API")
    with port_forward(platform.kube, NAMESPACE, f"svc/{app.name}-api", 8080) as url:
        started = time.monotonic()
        stream = sdk(url, API_KEY).chat.completions.create(
            model="chat", messages=[{"role": "user", "content": PROMPT}], max_tokens=48, stream=True, temperature=0
        )
        first, tokens, served_by = 0.0, 0, ""
        console.print(f"[dim]{PROMPT}[/]", end="")
        for chunk in stream:
            served_by = chunk.model or served_by
            text = chunk.choices[0].delta.content if chunk.choices else None
            if text:
                first = first or time.monotonic() - started
                tokens += 1
                console.file.write(text)
                console.file.flush()
        console.print(f"\n[dim]{tokens} tokens from {served_by}, the first after {first:.2f} s[/]")
    if not tokens:
        raise RuntimeError("the stream ended without a single token")


def _say_how_to_go_on(platform: Platform, app: AppHandle, console: Console, seconds: float) -> None:
    console.rule("How to go on")
    text = f"""\
export KUBECONFIG={platform.kube.kubeconfig}
kubectl -n {NAMESPACE} get aiapp,pods
kubectl -n {NAMESPACE} describe aiapp {app.name}
kubectl -n {NAMESPACE} port-forward svc/{app.name}-api 8080 &

curl -N http://127.0.0.1:8080/v1/chat/completions -H 'Authorization: Bearer {API_KEY}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"model": "chat", "stream": true, "messages": [{{"role": "user", "content": "Hello"}}]}}'

from openai import OpenAI
client = OpenAI(base_url="http://127.0.0.1:8080/v1", api_key="{API_KEY}")
print(client.chat.completions.create(model="chat", messages=[{{"role": "user", "content": "Hello"}}]))

make down    # removes all of it
"""
    console.print(text, markup=False, soft_wrap=True)
    console.print(f"The demo took {seconds:.0f} s.")


if __name__ == "__main__":
    sys.exit(main())
