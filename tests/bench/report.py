"""Results of benchmarks: one JSON object a line, with what they are to be compared with."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path


def tell(name: str, values: Sequence[float], unit: str, compared_with: str = "") -> None:
    """Print the median of some runs, and how far they lie apart."""
    spread = max(values) - min(values) if len(values) > 1 else 0.0
    line = {
        "name": name,
        "value": round(statistics.median(values), 4),
        "unit": unit,
        "n": len(values),
        "spread": round(spread, 4),
        "compared with": compared_with,
    }
    print(json.dumps(line), flush=True)


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / 100.0


def cpu_below(pid: int) -> float:
    """CPU time of a process and its children, of those that have ended, too."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    ended = (int(fields[13]) + int(fields[14])) / 100.0
    return cpu_seconds(pid) + ended + sum(cpu_seconds(int(child)) for child in children)


def busy_seconds(core: int) -> float:
    """For how long a core was not idle since the machine was started."""
    for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            # All but idle and iowait; guests are part of user.
            return sum(int(tick) for number, tick in enumerate(ticks[:8]) if number not in (3, 4)) / 100.0
    raise LookupError(f"there is no core {core}")


def peak_mebibytes(pid: int) -> float:
    """The most memory that a process ever had resident."""
    return _memory(pid, "VmHWM:")


def resident_mebibytes(pid: int) -> float:
    """The memory that a process has resident now."""
    return _memory(pid, "VmRSS:")


def _memory(pid: int, line_of: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(line_of):
            return int(line.split()[1]) / 1024
    return 0.0
