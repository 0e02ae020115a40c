import pytest

from aiapp_service.batches import lines
from aiapp_service.batches.lines import LineTooLong, lines_of


async def chunked(text: bytes, size: int):
    for start in range(0, len(text), size):
        yield text[start : start + size]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", []),
        (b"\n \n", []),
        (b"one", [(1, b"one")]),
        (b"one\n", [(1, b"one")]),
        (b"one\n\nthree\r\nfour", [(1, b"one"), (3, b"three\r"), (4, b"four")]),
    ],
)
async def test_lines_do_not_depend_on_chunks(text, found, size):
    assert [line async for line in lines_of(chunked(text, size))] == found


@pytest.mark.parametrize("size", [4, 1000])
@pytest.mark.parametrize("end", [b"", b"\n", b"\nmore"])
async def test_line_that_is_too_long_is_named(monkeypatch, end, size):
    monkeypatch.setattr(lines, "MOST_LINE_BYTES", 10)
    with pytest.raises(LineTooLong) as error:
        [line async for line in lines_of(chunked(b"one\n" + b"x" * 11 + end, size))]
    assert error.value.number == 2
