"""The process that parses one file after the other for a worker, and may be killed at any time.

In:  a line of JSON {"format": "pdf", "bytes": 123}, then so many bytes
Out: a line of JSON {"text": "...", "pages": [...]} or {"error": "...", "code": "..."}
"""

import json
import resource
import sys

from aiapp_service.retrieval.parsing.document import Unreadable
from aiapp_service.retrieval.parsing.formats import Format, parse

MOST_MEMORY_BYTES = 2 * 1024**3


def main() -> None:
    """Until nothing comes any more."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    # Nobody wants to know what a hostile file had in its memory.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while line := source.readline():
        head = json.loads(line)
        target.write(json.dumps(_answer(head["format"], source.read(head["bytes"]))).encode() + b"\n")
        target.flush()


def _answer(name: str, body: bytes) -> dict[str, object]:
    try:
        return parse(Format(name), body).fields()
    except Unreadable as error:
        return {"error": str(error), "code": error.code}
    except (MemoryError, RecursionError):
        return {"error": "the file takes too much memory to read", "code": "invalid_file"}
    except Exception:  # noqa: BLE001  # a parser fails in its own way on a file that is broken in its own way
        return {"error": f"the file is no {name.upper()} that can be read", "code": "invalid_file"}


if __name__ == "__main__":
    main()
