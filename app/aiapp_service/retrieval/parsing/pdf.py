"""PDF: the text of each page. What is only a picture of text is none."""

import io
import logging

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from aiapp_service.retrieval.parsing.document import MOST_CHARACTERS, Document, Unreadable, bounded

MOST_PAGES = 5_000

# It says of each flaw of a file that there is one.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)


def parse_pdf(body: bytes) -> Document:
    """The text, page by page.

    Raises:
        Unreadable: it is no PDF, has a password, too many pages, or no text.
    """
    try:
        reader = PdfReader(io.BytesIO(body), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("the PDF is protected by a password: upload it without")
        if len(reader.pages) > MOST_PAGES:
            raise Unreadable(f"the PDF has {len(reader.pages)} pages, {MOST_PAGES} are the most: split it")
        return _read(reader)
    except (PyPdfError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        # Whatever a broken file leads it to.
        raise Unreadable("the file is no PDF that can be read") from error


def _read(reader: PdfReader) -> Document:
    pages, texts, length = [], [], 0
    for page in reader.pages:
        text = bounded(page.extract_text()).strip() + "\n"
        pages.append(length)
        texts.append(text)
        length += len(text)
        if length > MOST_CHARACTERS:
            break
    whole = "".join(texts)
    if not whole.strip():
        raise Unreadable("the PDF has no text: run it through text recognition (OCR) first")
    return Document(bounded(whole), tuple(pages))
