"""What is left of a file when it is text, and what may be wrong with a file."""

from dataclasses import dataclass, field
from typing import Any

# About 2,000 pages of print; what is longer is no document that somebody wants quoted.
MOST_CHARACTERS = 10_000_000


class Unreadable(Exception):
    """A file that no text can be taken from. The message is for whoever uploaded it.

    `code` is one of OpenAI's: `unsupported_file`, `invalid_file`.
    """

    def __init__(self, message: str, code: str = "invalid_file") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Document:
    """A text; `pages` are the places in it where its pages begin, none where the format has no pages."""

    text: str
    pages: tuple[int, ...] = field(default=())

    def fields(self) -> dict[str, Any]:
        """As JSON."""
        return {"text": self.text, "pages": list(self.pages)}

    @classmethod
    def load(cls, fields: dict[str, Any]) -> "Document":
        """The inverse of `fields`."""
        return cls(fields["text"], tuple(fields["pages"]))


def bounded(text: str) -> str:
    """`text` as PostgreSQL can keep it.

    Raises:
        Unreadable: it is too long.
    """
    if len(text) > MOST_CHARACTERS:
        raise Unreadable(f"the file has {len(text)} characters of text, {MOST_CHARACTERS} are the most: split it")
    return text.replace("\x00", "")
