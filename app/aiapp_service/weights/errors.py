"""What goes wrong with a download, as a reason for machines and words that say what to do.

No message holds a token or what a server has said.
"""


class FetchFailed(Exception):
    """`reason` is one CamelCase word; the message is for the one who has to mend it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Interrupted(FetchFailed):
    """The connection broke, or the server cannot now: going on later may help."""

    def __init__(self, message: str) -> None:
        super().__init__("DownloadInterrupted", message)
