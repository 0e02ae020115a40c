"""The URL of a database in a mounted file, while its password is being rotated.

The file here and the password there change at different moments, up to two minutes apart. So the last URL that worked
is tried where the newest one is refused, or where the file is away for a moment.
"""

from pathlib import Path


class UrlFile:
    """Which URLs to connect with."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._good = ""

    def candidates(self) -> list[str]:
        """What to try, in this order; never empty.

        Raises:
            OSError: the file cannot be read, and no URL has worked yet.
        """
        try:
            newest = self._file.read_text(encoding="utf-8").strip()
        except OSError:
            if not self._good:
                raise
            return [self._good]
        return [newest, self._good] if self._good and self._good != newest else [newest]

    def worked(self, url: str) -> None:
        """Tell that a server has let us in with `url`."""
        self._good = url
