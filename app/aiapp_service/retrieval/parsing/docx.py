"""DOCX: paragraphs and tables, in order. Pages are not known before somebody lays them out."""

import io
import zipfile
from collections.abc import Iterator

import docx
from docx.document import Document as DocxDocument
from docx.table import Table
from lxml.etree import LxmlError

from aiapp_service.retrieval.parsing.document import Document, Unreadable, bounded

# The sizes that an archive gives for itself are kept to by whoever unpacks it.
MOST_UNPACKED_BYTES = 256 * 1024 * 1024
MOST_MEMBERS = 10_000


def parse_docx(body: bytes) -> Document:
    """The text; a row of a table is a line.

    Raises:
        Unreadable: it is no DOCX, or unpacks to too much.
    """
    try:
        _look_inside(body)
        document = docx.Document(io.BytesIO(body))
        return Document(bounded("\n".join(_lines(document))))
    except (zipfile.BadZipFile, LxmlError, KeyError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise Unreadable("the file is no DOCX that can be read") from error


def _look_inside(body: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        members = archive.infolist()
    if len(members) > MOST_MEMBERS or sum(member.file_size for member in members) > MOST_UNPACKED_BYTES:
        raise Unreadable(f"the DOCX unpacks to more than {MOST_UNPACKED_BYTES // 2**20} MiB")


def _lines(document: DocxDocument) -> Iterator[str]:
    for block in document.iter_inner_content():
        if isinstance(block, Table):
            for row in block.rows:
                yield " | ".join(cell.text.replace("\n", " ") for cell in row.cells)
        else:
            yield block.text
