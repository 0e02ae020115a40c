"""SDKs of JavaScript: their packages, put into the cache once per lock file, and scripts that use them."""

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.cluster.paths import REPOSITORY, cache_dir
from tests.cluster.steps import run_logged, step

SOURCES = REPOSITORY / "tests" / "sdk"
_LOCK = "package-lock.json"
_SCRATCH = ".installing-"
_SECONDS = 120


def installed(console: Console, sources: Path = SOURCES) -> Path:
    """The node_modules of the lock file in `sources`.

    Raises:
        CommandFailed: `npm ci` failed; the message has the end of its log.
    """
    if shutil.which("npm") is None:
        raise RuntimeError("Node 20 or newer is needed for the SDKs of JavaScript: put `node` and `npm` on the PATH")
    names = ("package.json", _LOCK)
    digest = hashlib.sha256(b"\0".join((sources / name).read_bytes() for name in names)).hexdigest()[:16]
    folder = cache_dir() / "sdk" / digest
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (cache_dir() / "sdk.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not folder.exists():
            with step(console, "Installing the SDKs of JavaScript (once per lock file)"):
                _install(folder, sources, names)
    return folder / "node_modules"


def _install(folder: Path, sources: Path, names: tuple[str, ...]) -> None:
    # Made beside its place and renamed: an installation that was killed never looks finished.
    for killed in folder.parent.glob(f"{_SCRATCH}*"):
        shutil.rmtree(killed)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=_SCRATCH) as scratch:
        home = Path(scratch) / "home"
        home.mkdir()
        for name in names:
            shutil.copy(sources / name, home)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        run_logged(command, cache_dir() / "logs" / "npm-ci.log", cwd=home)
        home.rename(folder)


async def run_script(packages: Path, script: str, url: str, key: str, scratch: Path) -> dict[str, Any]:
    """What a script prints, which is JSON."""
    # Modules are looked for upwards from the script that imports them.
    for source in SOURCES.glob("*.mjs"):
        shutil.copy(source, scratch)
    (scratch / "node_modules").symlink_to(packages)
    process = await asyncio.create_subprocess_exec(
        "node",
        script,
        cwd=scratch,
        env={**os.environ, "AIAPP_URL": f"{url}/v1", "AIAPP_KEY": key},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()[-3000:]
    found: dict[str, Any] = json.loads(out)
    return found
