"""Names of responses and of the items in them.

An item's name holds its response's: a client that refers to an item by its name alone can be understood.
"""

import re
import uuid
from typing import TypeGuard

# Any backend's own.
_NAME = re.compile(r"[A-Za-z0-9_.:=-]{1,256}")
_ITEM = re.compile(r"(?:msg|rs|fc|fs)_([0-9a-f]{32})_\d{1,4}")


def new_response() -> str:
    """A name that nobody can guess."""
    return f"resp_{uuid.uuid4().hex}"


def may_be_name(name: object) -> TypeGuard[str]:
    """Whether a response or an item could have this name."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def of_item(prefix: str, response: str, number: int) -> str:
    """The name of a response's item; `prefix` says of what kind it is."""
    return f"{prefix}_{response.removeprefix('resp_')}_{number}"


def response_of(item: object) -> str | None:
    """The response that an item of ours belongs to; None where the name is none of ours."""
    found = _ITEM.fullmatch(item) if isinstance(item, str) else None
    return f"resp_{found[1]}" if found else None
