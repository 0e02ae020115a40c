"""HTML: what a reader sees of it, a block a line."""

import re

from selectolax.lexbor import LexborHTMLParser

from aiapp_service.retrieval.parsing.document import Document, Unreadable, bounded

_UNSEEN = ["script", "style", "noscript", "template", "svg", "iframe", "object", "canvas", "nav"]
_BLOCKS = (
    "address, article, aside, blockquote, br, dd, details, div, dl, dt, fieldset, figcaption, figure, footer, form,"
    "h1, h2, h3, h4, h5, h6, header, hr, li, main, ol, option, p, pre, section, summary, table, tr, ul"
)
_CELLS = "td, th"
_SPACES = re.compile(r"[ \t\r\n\f\v\xa0]+")
# The end of a line as it is shown; those of the source are mere spaces.
_END = "\x1e"
_LINES = re.compile(f" ?{_END}[ {_END}]*")


def parse_html(body: bytes) -> Document:
    """The title and the text of a page; the encoding is what it says of itself, else UTF-8.

    Raises:
        Unreadable: it is too long.
    """
    tree = LexborHTMLParser(_decoded(body))
    tree.strip_tags(_UNSEEN, recursive=True)
    found = tree.css_first("head title")
    title = found.text(strip=True) if found is not None else ""
    if tree.body is None:
        raise Unreadable("the file has no text")
    for node in tree.body.css(_BLOCKS):
        node.insert_before(_END)
        node.insert_after(_END)
    for node in tree.body.css(_CELLS):
        node.insert_after(" ")
    text = _LINES.sub("\n", _SPACES.sub(" ", tree.body.text(deep=True))).strip()
    return Document(bounded(f"{title}\n{text}" if title and not text.startswith(title) else text))


_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)


def _decoded(body: bytes) -> str:
    named = _CHARSET.search(body[:2048])
    try:
        return body.decode(named[1].decode() if named else "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")
