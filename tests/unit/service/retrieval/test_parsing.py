"""Files of each format, and files that mean harm."""

import io
import os
import zipfile
from pathlib import Path

import docx
import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from aiapp_service.retrieval.parsing import formats, reader
from aiapp_service.retrieval.parsing.document import Document, Unreadable
from aiapp_service.retrieval.parsing.formats import Format, format_of, parse
from aiapp_service.retrieval.parsing.reader import Reader


def pdf(*pages: str) -> bytes:
    """A PDF with a line of text on each page."""
    writer = PdfWriter()
    for text in pages:
        page = writer.add_blank_page(300, 300)
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
    saved = io.BytesIO()
    writer.write(saved)
    return saved.getvalue()


def word(*paragraphs: str) -> bytes:
    document, saved = docx.Document(), io.BytesIO()
    for text in paragraphs:
        document.add_paragraph(text)
    document.save(saved)
    return saved.getvalue()


@pytest.mark.parametrize(
    ("name", "body", "format_"),
    [
        ("a.txt", b"x", Format.TEXT),
        ("A.MD", b"x", Format.MARKDOWN),
        ("page.HTM", b"x", Format.HTML),
        ("wrong.txt", b"%PDF-1.7", Format.PDF),
        ("a.docx", b"PK", Format.DOCX),
        ("README", b"plain", Format.TEXT),
    ],
)
def test_formats(name: str, body: bytes, format_: Format) -> None:
    assert format_of(name, body) is format_


@pytest.mark.parametrize(
    ("name", "body"), [("a.exe", b"x"), ("picture", b"\x89PNG\x00"), ("a.zip", b"PK"), ("", b"\xff")]
)
def test_other_formats_are_refused(name: str, body: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        format_of(name, body)
    assert caught.value.code == "unsupported_file"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_texts_in_several_encodings(encoding: str) -> None:
    assert parse(Format.TEXT, "Grüße, 世界".encode(encoding)) == Document("Grüße, 世界")


def test_html() -> None:
    page = (
        "<html><head><title>Title</title><style>p {}</style></head><body><nav>menu</nav><h1>One</h1>"
        "<p>Two <b>bold</b>,\n  x<br>y &amp; z</p><script>evil()</script><ul><li>i<li>j</ul>"
        "<table><tr><td>a</td><td>b</td></tr></table></body></html>"
    )
    assert parse(Format.HTML, page.encode()).text == "Title\nOne\nTwo bold, x\ny & z\ni\nj\na b"
    latin = '<meta charset="latin-1"><p>Grüße'.encode("latin-1")
    assert parse(Format.HTML, latin).text == "Grüße"


def test_pdf_with_its_pages() -> None:
    document = parse(Format.PDF, pdf("First page", "Second page"))
    assert document.text.split("\n") == ["First page", "Second page", ""]
    assert [document.text[start:].split("\n")[0] for start in document.pages] == ["First page", "Second page"]


@pytest.mark.parametrize(
    ("format_", "body", "why"),
    [
        (Format.PDF, b"%PDF-1.7\n%%EOF", "no PDF that can be read"),
        (Format.PDF, pdf(""), "no text"),
        (Format.DOCX, b"PK\x03\x04 broken", "no DOCX"),
        (Format.TEXT, b"\xff\xfe\xfa\xfb\xfc", "not text"),
    ],
)
def test_broken_files(format_: Format, body: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        parse(format_, body)


def test_a_zip_bomb_is_not_unpacked() -> None:
    saved = io.BytesIO(word("x"))
    with zipfile.ZipFile(saved, "a", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"word/media/{number}.bin", b"\0" * 100 * 1024 * 1024)
    assert len(saved.getvalue()) < 1024 * 1024
    with pytest.raises(Unreadable, match="unpacks to more"):
        parse(Format.DOCX, saved.getvalue())


def test_entities_of_xml_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of-the-host")
    source, saved = zipfile.ZipFile(io.BytesIO(word("MARK"))), io.BytesIO()
    with zipfile.ZipFile(saved, "w") as archive:
        for name in source.namelist():
            body = source.read(name)
            if name == "word/document.xml":
                body = body.replace(b"MARK", b"&leak;").replace(
                    b"<w:document", f'<!DOCTYPE d [<!ENTITY leak SYSTEM "file://{secret}">]><w:document'.encode(), 1
                )
            archive.writestr(name, body)
    assert "of-the-host" not in parse(Format.DOCX, saved.getvalue()).text


def test_a_text_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreadable, match="10000000 are the most"):
        parse(Format.TEXT, b"x" * 10_000_001)
    assert formats.MOST_FILE_BYTES > 10_000_001


async def test_parsers_run_in_processes_that_are_used_again() -> None:
    parser = Reader(processes=1)
    try:
        assert (await parser.read("a.docx", word("Hello"))).text == "Hello"
        (process,) = parser._idle
        assert process.pid != os.getpid()
        with pytest.raises(Unreadable):
            await parser.read("b.pdf", b"%PDF-nonsense")
        assert (await parser.read("c.pdf", pdf("Page"))).pages == (0,)
        assert parser._idle == [process]
    finally:
        await parser.close()


async def test_a_parser_that_takes_too_long_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = ("import sys, time", "sys.stdin.buffer.readline()", "time.sleep(600)")
    monkeypatch.setattr(reader, "_COMMAND", (reader._COMMAND[0], "-c", "\n".join(slow)))
    parser = Reader(processes=1, seconds=0.5)
    with pytest.raises(Unreadable, match=r"within 0\.5 s"):
        await parser.read("a.docx", word("Hello"))
    assert parser._idle == []


async def test_a_parser_that_dies_takes_nothing_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(reader, "_COMMAND", (reader._COMMAND[0], "-c", "import os; os._exit(9)"))
        parser = Reader(processes=1)
        with pytest.raises(Unreadable, match="broke down"):
            await parser.read("a.docx", word("Hello"))
    assert (await parser.read("a.docx", word("Hello"))).text == "Hello"
    await parser.close()
