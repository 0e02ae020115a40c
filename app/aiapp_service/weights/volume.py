"""The volume: `models/NAME` is whole and never changes, `partial/NAME` is under way.

One process at a time works on a name; others see that by a lock, which ends with the process.
"""

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from aiapp_service.weights.errors import FetchFailed

COMPLETE, PARTIAL = "models", "partial"
_LOCK = ".lock"
_KEPT_FREE = 16 * 1024 * 1024
# What file systems have at their root.
_NOT_OURS = frozenset({"lost+found"})


class Volume:
    """A volume that downloads are kept on."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def complete(self, name: str) -> Path:
        """Where a download is once it is whole."""
        return self._root / COMPLETE / name

    def partial(self, name: str) -> Path:
        """Where it is until then."""
        return self._root / PARTIAL / name

    @contextmanager
    def working_on(self, name: str) -> Iterator[Path]:
        """The folder to download into, for this process alone.

        Raises:
            FetchFailed: another process has it.
        """
        folder = self.partial(name)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / _LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise FetchFailed("DownloadInterrupted", "another pod downloads the same") from None
            yield folder

    def finish(self, name: str) -> None:
        """What is under way is whole: from here on it is seen, all of it at once."""
        folder, place = self.partial(name), self.complete(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.sync()
        folder.rename(place)
        (place / _LOCK).unlink(missing_ok=True)

    def make_room(self, name: str, needed: int) -> None:
        """See that `needed` more bytes fit, after what other broken downloads have left is removed.

        Raises:
            FetchFailed: they do not; reason NoSpace.
        """
        self._remove_stale({name})
        free = shutil.disk_usage(self._root).free - _KEPT_FREE
        if needed > free:
            total = shutil.disk_usage(self._root).total
            raise FetchFailed(
                "NoSpace",
                f"{readable(needed)} more are needed, {readable(max(0, free))} of {readable(total)} are free on the "
                "cache volume: raise cache.size",
            )

    def collect(self, keep: Collection[str]) -> int:
        """Remove all that is not to be kept; gives how many bytes that were."""
        removed = self._remove_stale(keep)
        complete = self._root / COMPLETE
        unwanted = [path for path in _entries(complete) if path.name not in keep]
        unwanted += [path for path in _entries(self._root) if path.name not in {COMPLETE, PARTIAL, *_NOT_OURS}]
        return removed + sum(_remove(path) for path in unwanted)

    def _remove_stale(self, keep: Collection[str]) -> int:
        return sum(
            _remove(path)
            for path in _entries(self._root / PARTIAL)
            if path.name not in keep and not _is_locked(path / _LOCK)
        )


def readable(size: int) -> str:
    """Bytes for people: 1.5 GiB."""
    value, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.1f} {unit}" if unit != "B" else f"{size} B"


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_locked(file: Path) -> bool:
    if not file.exists():
        return False
    with file.open("r+") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _remove(path: Path) -> int:
    if not path.is_dir() or path.is_symlink():
        size = path.lstat().st_size
        path.unlink()
        return size
    size = sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
    shutil.rmtree(path)
    return size
