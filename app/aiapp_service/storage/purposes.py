"""What files are for, and what has to be in them for that."""

from enum import StrEnum

# How much of a file's beginning is looked at.
HEAD_BYTES = 512


class Purpose(StrEnum):
    """Of a file that a client uploads, in the words of the OpenAI API."""

    ASSISTANTS = "assistants"
    BATCH = "batch"
    FINE_TUNE = "fine-tune"
    VISION = "vision"
    USER_DATA = "user_data"
    EVALS = "evals"


class OutputPurpose(StrEnum):
    """Of a file that the service makes."""

    BATCH_OUTPUT = "batch_output"
    FINE_TUNE_RESULTS = "fine-tune-results"


_LINES = frozenset({Purpose.BATCH, Purpose.FINE_TUNE, Purpose.EVALS})
_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")


def complaint(purpose: Purpose, head: bytes) -> str:
    """What is wrong with a file that begins with `head`, for its purpose; empty: nothing that can be seen there."""
    if not head:
        return "the file is empty"
    if purpose in _LINES and not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return f"a file for {purpose} has to be JSON Lines: one JSON object on each line"
    if purpose is Purpose.VISION and not _is_image(head):
        return "a file for vision has to be a PNG, JPEG, GIF or WebP image"
    return ""


def _is_image(head: bytes) -> bool:
    return head.startswith(_IMAGES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
