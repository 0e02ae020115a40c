"""Marks become annotations, however the text is cut into pieces."""

import pytest

from aiapp_service.retrieval.index import Hit
from aiapp_service.retrieval.tool.citations import Citations

SOURCES = [Hit(f"file-{n}", f"{n}.txt", {}, 0, "text", 10, 14, None, 0.5) for n in (1, 2)]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("text", "shown", "cited"),
    [
        ("Plain.", "Plain.", []),
        ("One【1】 and two【2】.", "One and two.", [(3, "file-1"), (11, "file-2")]),
        ("Both【2】【1】", "Both", [(4, "file-2"), (4, "file-1")]),
        ("With a name【1†1.txt】!", "With a name!", [(11, "file-1")]),
        ("Nobody【3】 and zero【0】.", "Nobody【3】 and zero【0】.", []),
        ("Not closed【1", "Not closed【1", []),
        ("Not a mark【x】【" + "1" * 200, "Not a mark【x】【" + "1" * 200, []),
    ],
)
def test_marks(text: str, shown: str, cited: list[tuple[int, str]], size: int) -> None:
    citations = Citations(SOURCES)
    pieces = [citations.feed(text[start : start + size]) for start in range(0, len(text), size)]
    assert "".join(pieces) + citations.end() == shown
    assert [(found["index"], found["file_id"]) for found in citations.found] == cited
