"""Which format a file is in: by its name, and by its first bytes where these are unmistakable."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import PurePath

from aiapp_service.retrieval.parsing.document import Document, Unreadable

# Larger ones would not fit into the memory of a worker beside all that is made of them.
MOST_FILE_BYTES = 64 * 1024 * 1024


class Format(StrEnum):
    """The formats that are read."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    PDF = "pdf"
    DOCX = "docx"

    @property
    def is_plain(self) -> bool:
        """Whether its bytes are its text."""
        return self in (Format.TEXT, Format.MARKDOWN)


_BY_SUFFIX = {
    ".md": Format.MARKDOWN,
    ".markdown": Format.MARKDOWN,
    ".html": Format.HTML,
    ".htm": Format.HTML,
    ".xhtml": Format.HTML,
    ".pdf": Format.PDF,
    ".docx": Format.DOCX,
    # Text, and found by what stands in it.
    **dict.fromkeys(
        (
            *(".txt", ".text", ".log", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".ini", ".xml"),
            *(".c", ".h", ".cc", ".cpp", ".cs", ".css", ".go", ".java", ".js", ".kt", ".php", ".py", ".rb", ".rs"),
            *(".sh", ".sql", ".swift", ".tex", ".ts", ".rst"),
        ),
        Format.TEXT,
    ),
}


def format_of(filename: str, body: bytes) -> Format:
    """The format of a file.

    Raises:
        Unreadable: it is none of those that are read.
    """
    if body.startswith(b"%PDF-"):
        return Format.PDF
    suffix = PurePath(filename).suffix.lower()
    found = _BY_SUFFIX.get(suffix)
    if found is None and not suffix and _is_text(body):
        return Format.TEXT
    if found is None:
        known = "text, source code, Markdown, HTML, PDF and DOCX"
        raise Unreadable(
            f"files of the kind {suffix[:20] or 'without a name'} are not read: {known} are", "unsupported_file"
        )
    return found


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return b"\x00" not in body


def parse(format_: Format, body: bytes) -> Document:
    """The text of a file. Each parser is loaded when it is needed.

    Raises:
        Unreadable: there is none to be had.
    """
    return _parser(format_)(body)


def _parser(format_: Format) -> Callable[[bytes], Document]:
    # ruff: noqa: PLC0415  # each parser is loaded with the first file of its format
    if format_ is Format.HTML:
        from aiapp_service.retrieval.parsing.html import parse_html

        return parse_html
    if format_ is Format.PDF:
        from aiapp_service.retrieval.parsing.pdf import parse_pdf

        return parse_pdf
    if format_ is Format.DOCX:
        from aiapp_service.retrieval.parsing.docx import parse_docx

        return parse_docx
    from aiapp_service.retrieval.parsing.plain import parse_text

    return parse_text
