"""Temporary folders of this clone's own.

pytest closes its shared folder to other users whenever it starts, also while another run has servers in it that run as
users of their own.
"""

import os
import tempfile
import zlib
from pathlib import Path

_CLONE = zlib.crc32(str(Path(__file__).resolve()).encode())
_FOLDER = Path(tempfile.gettempdir(), f"aiapp-tests-{_CLONE:08x}")
_FOLDER.mkdir(exist_ok=True)
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_FOLDER))
