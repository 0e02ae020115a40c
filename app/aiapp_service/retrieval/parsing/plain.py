"""Text and Markdown: kept as they are, so that positions are those of the file."""

import codecs

from aiapp_service.retrieval.parsing.document import Document, Unreadable, bounded

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before the two of UTF-16, one of which they begin with.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def parse_text(body: bytes) -> Document:
    """The text of a file in UTF-8, or in what its byte order mark says.

    Raises:
        Unreadable: it is in another encoding, or no text.
    """
    encoding = next((name for mark, name in _MARKS if body.startswith(mark)), "utf-8")
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable("the file is not text in UTF-8, nor in UTF-16 with a byte order mark") from error
    return Document(bounded(text))
